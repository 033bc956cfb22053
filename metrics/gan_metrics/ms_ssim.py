"""Multi-scale structural similarity of pairs of fakes (Wang et al. 2003; Karras et al. 2018, section 6.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, ShapeError
from gan_metrics.base import Batch, Metric, MetricResult, MetricSettings, Progress, check_batch

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# Variances do not change with the mean, and around zero float32 keeps three more digits of the squares.
_MIDDLE = np.float32(128)
_MIN_SIDE = 2 ** (len(WEIGHTS) - 1)


def compute_ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the multi-scale structural similarity of two images.

    Five scales with the weights of Wang et al.; Gaussian window of 11 pixels and sigma 1.5, both shrunk in proportion
    where the scale is smaller than the window; only where the window fits; the three channels averaged together;
    2x2 box mean between scales; negative contrast or similarity counts as 0. The dynamic range is 255.

    Args:
        a, b: (3, H, W) uint8.
    Returns:
        0..1; 1 for equal images.
    Raises:
        ShapeError: If the shapes differ or a side is below 16 pixels.
    """
    if a.shape != b.shape or a.ndim != 3 or min(a.shape[1:]) < _MIN_SIDE:
        raise ShapeError(f"two images of one shape (3, H, W), at least {_MIN_SIDE} a side: got {a.shape} and {b.shape}")
    x, y = (np.ascontiguousarray(image.transpose(1, 2, 0), dtype=np.float32) - _MIDDLE for image in (a, b))
    product = 1.0
    for scale, weight in enumerate(WEIGHTS):
        if scale == len(WEIGHTS) - 1:
            product *= max(compare_scale(x, y)[0], 0.0) ** weight
        else:
            product *= max(_average(_compare_contrast(x, y)[0]), 0.0) ** weight
            x, y = _halve(x), _halve(y)
    return product


def compare_scale(x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[float, float]:
    """Return mean structural similarity and mean contrast-structure of two images at one scale.

    Args:
        x, y: (H, W, C) float32, pixel values minus 128.
    """
    contrast, product, squares, total = _compare_contrast(x, y)
    # The means themselves, moved back to 0..255: (mx+m)(my+m) and (mx+m)^2 + (my+m)^2.
    shift = total * _MIDDLE
    product += shift + _MIDDLE * _MIDDLE
    squares += 2 * shift + 2 * _MIDDLE * _MIDDLE
    similarity = contrast * ((2 * product + np.float32(_C1)) / (squares + np.float32(_C1)))
    return _average(similarity), _average(contrast)


def _compare_contrast(x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Return the map of contrast-structure, and of the means their product, sum of squares and sum."""
    kernel = _make_window(min(_WINDOW, *x.shape[:2]))
    mean_x, mean_y = _blur(x, kernel), _blur(y, kernel)
    product = mean_x * mean_y
    total = mean_x + mean_y
    squares = total * total
    squares -= 2 * product
    covariance = _blur(x * y, kernel)
    covariance -= product
    covariance *= 2
    covariance += np.float32(_C2)
    both = x * x
    both += y * y
    variance = _blur(both, kernel)
    variance -= squares
    variance += np.float32(_C2)
    covariance /= variance
    return covariance, product, squares, total


def _average(values: NDArray[np.float32]) -> float:
    return float(values.mean(dtype=np.float64))


def _make_window(size: int) -> NDArray[np.float32]:
    places = np.arange(size) - (size - 1) / 2
    sigma = _SIGMA * size / _WINDOW
    window = np.exp(-np.square(places) / (2 * sigma * sigma))
    return np.asarray(window / window.sum(), dtype=np.float32)


def _blur(image: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the separable convolution where the window fits, (H - k + 1, W - k + 1, C)."""
    size = len(kernel)
    anchor = size // 2
    blurred = cv2.sepFilter2D(image, -1, kernel, kernel, anchor=(anchor, anchor), borderType=cv2.BORDER_REFLECT_101)
    height, width = image.shape[:2]
    return np.asarray(blurred[anchor : anchor + height - size + 1, anchor : anchor + width - size + 1])


def _halve(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 2x2 box means; of an odd side, the last row or column is averaged with its mirror image, as it is."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.asarray(cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA))


class MultiScaleSSIM(Metric):
    """Mean MS-SSIM of consecutive pairs of fakes: high where the generator lacks variation.

    It compares fakes with each other; the same for the reals stands beside it as what a perfect generator would get.
    The pairs are (1st, 2nd), (3rd, 4th), ... in the order given, so unlike the other metrics this one depends on it.

    Args:
        settings: Uses ``workers``.
    """

    name = "ms-ssim"
    title = "MS-SSIM of pairs"
    floor_title = "reals"
    needs_reals = False

    def __init__(self, settings: MetricSettings | None = None) -> None:
        super().__init__(settings)
        self._size: tuple[int, int] | None = None
        self._reals, self._fakes = _Pairs(), _Pairs()

    def update_reals(self, batch: Batch) -> None:
        """Add real images, for comparison; see :meth:`Metric.update_reals`."""
        self._add(batch, self._reals)

    def update_fakes(self, batch: Batch) -> None:
        """Add generated images; see :meth:`Metric.update_fakes`."""
        self._add(batch, self._fakes)

    def clear_fakes(self) -> None:
        """Forget the fakes and keep the reals."""
        self._fakes = _Pairs()

    def compute(self, progress: Progress | None = None) -> MetricResult:
        """Return ``ms_ssim``, its standard error over pairs, and ``ms_ssim`` of the reals as the floor.

        Raises:
            InputError: If there are fewer than two fakes.
        """
        if not self._fakes.scores:
            raise InputError("fakes: MS-SSIM needs pairs, so at least two images")
        if progress is not None:
            progress(1, 1)
        pairs = len(self._fakes.scores)
        notes = [f"{pairs} pairs; the paper uses 10000"] if pairs < 10000 else []
        if self._fakes.waiting is not None:
            notes.append("the last image has no partner and was left out")
        return MetricResult(
            metric=self.name,
            values={"ms_ssim": self._fakes.mean()},
            errors={"ms_ssim_se": self._fakes.error()} if pairs > 1 else {},
            floor={"ms_ssim": self._reals.mean()} if self._reals.scores else {},
            floor_num_images=2 * len(self._reals.scores) or None,
            num_images=2 * pairs,
            notes=tuple(notes),
            details={"pairs": pairs},
        )

    def export_reals(self) -> dict[str, NDArray[Any]]:  # type: ignore[override]
        """Return the reals' own similarities."""
        return {"scores": np.array(self._reals.scores)} if self._reals.scores else {}

    def load_reals(self, arrays: Mapping[str, Any]) -> None:
        """Take the place of :meth:`update_reals`."""
        self._reals = _Pairs()
        self._reals.scores = np.asarray(arrays["scores"]).tolist()

    def _add(self, batch: Batch, pairs: _Pairs) -> None:
        check_batch(batch, self._size)
        if not len(batch):
            return
        if min(batch.shape[2:]) < _MIN_SIDE:
            raise ShapeError(f"images of {batch.shape[2]}x{batch.shape[3]}: MS-SSIM needs at least {_MIN_SIDE} a side")
        self._size = (int(batch.shape[2]), int(batch.shape[3]))
        images = list(batch) if pairs.waiting is None else [pairs.waiting, *batch]
        pairs.waiting = images.pop().copy() if len(images) % 2 else None
        with ThreadPoolExecutor(self.settings.workers) as pool:
            pairs.scores += pool.map(compute_ms_ssim, images[0::2], images[1::2])


class _Pairs:
    """Scores of the pairs so far, and the image that waits for a partner."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.waiting: NDArray[np.uint8] | None = None

    def mean(self) -> float:
        return math.fsum(self.scores) / len(self.scores)

    def error(self) -> float:
        return float(np.std(self.scores, ddof=1)) / math.sqrt(len(self.scores))
