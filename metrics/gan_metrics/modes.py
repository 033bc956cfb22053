"""The discrete mode test: how many of 1000 combinations of three digits a generator makes (Metz et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, ShapeError
from gan_metrics.base import Batch, Metric, MetricResult, MetricSettings, Progress, check_batch
from gan_metrics.device import find_device
from gan_metrics.digit_classifier import SIDE, DigitClassifier, load_classifier

NUM_MODES = 1000
PAPER_NUM_IMAGES = 25600


def split_digits(batch: Batch) -> NDArray[np.uint8]:
    """Return the three digits of each image, (N, 3, 28, 28): the channels, without a padding of 2 pixels.

    Args:
        batch: (N, 3, 28, 28) or (N, 3, 32, 32) uint8.
    Raises:
        ShapeError: If the images are of another size.
    """
    side = batch.shape[2]
    if batch.shape[2:] not in ((SIDE, SIDE), (SIDE + 4, SIDE + 4)):
        raise ShapeError(
            f"stacked digits are {SIDE}x{SIDE}, or {SIDE + 4}x{SIDE + 4} padded by 2; got {side}x{batch.shape[3]}"
        )
    pad = (side - SIDE) // 2
    return batch[:, :, pad : pad + SIDE, pad : pad + SIDE]


def count_modes(digits: NDArray[np.int64]) -> tuple[int, float]:
    """Return the number of modes that occur and the divergence of their frequencies from uniform.

    Args:
        digits: (N, 3) classes 0..9.
    Returns:
        Modes of 1000; ``KL(histogram || uniform)`` in nats, from 0 to ln 1000 = 6.908.
    Raises:
        InputError: If there are no images.
    """
    if not len(digits):
        raise InputError("fakes: no images were given")
    histogram = np.bincount(digits @ np.array([100, 10, 1]), minlength=NUM_MODES)
    share = histogram[histogram > 0] / len(digits)
    return int(np.count_nonzero(histogram)), max(float((share * np.log(share * NUM_MODES)).sum()), 0.0)


class ModeCoverage(Metric):
    """Modes covered and KL divergence of stacked digits, by a classifier of our own.

    Args:
        settings: Uses ``device``.
        classifier: Another classifier than the shipped one.
    """

    name = "modes"
    title = "Discrete modes (MNIST-1K)"
    floor_title = "real digits"
    needs_reals = False

    def __init__(self, settings: MetricSettings | None = None, *, classifier: DigitClassifier | None = None) -> None:
        super().__init__(settings)
        self._net = (classifier or load_classifier()[0]).to(find_device(self.settings.device))
        self._fakes: list[NDArray[np.int64]] = []
        self._reals: list[NDArray[np.int64]] = []

    def update_reals(self, batch: Batch) -> None:
        """Add real stacked digits, whose own modes then stand beside the fakes'."""
        self._reals.append(self._classify(batch))

    def update_fakes(self, batch: Batch) -> None:
        """Add generated stacked digits, (N, 3, 28, 28) or (N, 3, 32, 32) uint8."""
        self._fakes.append(self._classify(batch))

    def clear_fakes(self) -> None:
        """Forget the fakes and keep the reals."""
        self._fakes = []

    def compute(self, progress: Progress | None = None) -> MetricResult:
        """Return ``modes`` of 1000 and ``kl``.

        Raises:
            InputError: If no fakes were given.
        """
        found = np.concatenate(self._fakes) if self._fakes else np.zeros((0, 3), dtype=np.int64)
        modes, divergence = count_modes(found)
        if progress is not None:
            progress(1, 1)
        notes = []
        if len(found) != PAPER_NUM_IMAGES:
            notes.append(f"the paper uses {PAPER_NUM_IMAGES} images; fewer miss modes by chance")
        floor: dict[str, float] = {}
        if self._reals:
            real_modes, real_divergence = count_modes(np.concatenate(self._reals))
            floor = {"modes": real_modes, "kl": real_divergence}
        return MetricResult(
            self.name,
            {"modes": modes, "kl": divergence},
            len(found),
            floor=floor,
            floor_num_images=sum(map(len, self._reals)) or None,
            notes=tuple(notes),
            details={"expected_kl_of_uniform": (NUM_MODES - 1) / (2 * len(found))},
        )

    def _classify(self, batch: Batch) -> NDArray[np.int64]:
        digits = split_digits(check_batch(batch))
        return self._net.predict(digits.reshape(-1, SIDE, SIDE)).reshape(-1, 3)
