"""Inception features of batches of pixels, computed once however many metrics ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from celebahq_tools.errors import InputError
from gan_metrics.base import Batch, Metric, MetricSettings, StreamedArray, check_batch
from gan_metrics.descriptors import hash_image
from gan_metrics.device import find_device
from gan_metrics.inception import NUM_FEATURES, load_inception

_SIDE = 299


@dataclass(frozen=True)
class Features:
    """Features of a batch.

    Attributes:
        digests: Hash of each image's pixels.
        pool: (N, 2048) float32.
        logits: (N, 1008) float32, or None if the weights have no last layer.
    """

    digests: list[bytes]
    pool: NDArray[np.float32]
    logits: NDArray[np.float32] | None


class FeatureExtractor:
    """The net with its preparation of pixels; remembers the last batch, which all metrics of a run are given in turn.

    Pixels are resized to 299x299 by an antialiased bicubic filter in float32 (Pillow's, as torch has it), clipped to
    0..255 and mapped to ``(x - 128) / 128``. The original FID program resized without antialiasing, which its
    followers found to distort the score (Parmar et al. 2022).

    Args:
        device: Torch device.
        weights: The user's own weight file, or None.
    """

    def __init__(self, device: str, weights: Path | None) -> None:
        self._device = find_device(device)
        self._net = load_inception(weights).to(self._device)
        self._last: Features | None = None

    @property
    def has_logits(self) -> bool:
        """Whether the weights have the last layer."""
        return self._net.fc is not None

    def extract(self, batch: Batch) -> Features:
        """Return the features of (N, 3, H, W) uint8 images."""
        # By what is in it: a loop may fill one array over and over.
        digests = [hash_image(image) for image in batch]
        if self._last is not None and self._last.digests == digests:
            return self._last
        with torch.inference_mode():
            pixels = torch.from_numpy(np.array(batch)).to(self._device)
            pool = self._net((resize_pixels(pixels) - 128) / 128)
            logits = self._net.classify(pool).float().cpu().numpy() if self.has_logits else None
        self._last = Features(digests, pool.float().cpu().numpy(), logits)
        return self._last


def resize_pixels(pixels: torch.Tensor) -> torch.Tensor:
    """Return (N, 3, 299, 299) float32 in 0..255 of (N, 3, H, W) uint8; see :class:`FeatureExtractor`."""
    values = pixels.float()
    if tuple(pixels.shape[2:]) == (_SIDE, _SIDE):
        return values
    resized = F.interpolate(values, (_SIDE, _SIDE), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 255)


@lru_cache(maxsize=1)
def _share_extractor(device: str, weights: Path | None) -> FeatureExtractor:
    return FeatureExtractor(device, weights)


def get_extractor(settings: MetricSettings) -> FeatureExtractor:
    """Return the extractor for these settings; metrics with the same settings get the same one.

    Raises:
        WeightsError: If no weights are installed; the message holds the command that installs them.
        ConfigError: If the device does not exist.
    """
    return _share_extractor(settings.device, settings.inception_weights)


class FeatureBank:
    """Features of a set of images, given back in the order of the images' hashes.

    Random choices over a bank therefore do not depend on the order in which the images came.
    """

    def __init__(self) -> None:
        self._digests: list[bytes] = []
        self._rows: list[NDArray[np.float32]] = []

    def __len__(self) -> int:
        return len(self._digests)

    def append(self, digests: list[bytes], rows: NDArray[np.float32]) -> None:
        """Add rows (N, D) and the hashes of their images."""
        self._digests += digests
        self._rows.append(rows)

    def sort_rows(self) -> NDArray[np.float32]:
        """Return all rows, (N, D) float32, sorted by hash."""
        if not self._digests:
            return np.zeros((0, NUM_FEATURES), dtype=np.float32)
        order = sorted(range(len(self)), key=self._digests.__getitem__)
        return np.concatenate(self._rows)[order]

    def sort_digests(self) -> NDArray[np.uint8]:
        """Return the sorted hashes, (N, 16) uint8."""
        return np.frombuffer(b"".join(sorted(self._digests)), dtype=np.uint8).reshape(len(self), -1)

    @classmethod
    def restore(cls, rows: NDArray[np.float32], digests: NDArray[np.uint8]) -> FeatureBank:
        """Return a bank from what :meth:`sort_rows` and :meth:`sort_digests` gave."""
        bank = cls()
        bank.append([digest.tobytes() for digest in digests], np.asarray(rows))
        return bank


class FeatureMetric(Metric):
    """A metric that needs all features of both sets at once.

    Args:
        settings: Uses ``device`` and ``inception_weights``.
    """

    def __init__(self, settings: MetricSettings | None = None) -> None:
        super().__init__(settings)
        self.extractor = get_extractor(self.settings)
        self.reals, self.fakes = FeatureBank(), FeatureBank()

    def update_reals(self, batch: Batch) -> None:
        """Add real images; see :meth:`Metric.update_reals`."""
        features = self.extractor.extract(check_batch(batch))
        self.reals.append(features.digests, features.pool)

    def update_fakes(self, batch: Batch) -> None:
        """Add generated images; see :meth:`Metric.update_fakes`."""
        features = self.extractor.extract(check_batch(batch))
        self.fakes.append(features.digests, features.pool)

    def clear_fakes(self) -> None:
        """Forget the fakes and keep the reals."""
        self.fakes = FeatureBank()

    def export_reals(self) -> dict[str, NDArray[Any] | StreamedArray]:
        """Return the reals' features and hashes."""
        return {"features": self.reals.sort_rows(), "digests": self.reals.sort_digests()}

    def load_reals(self, arrays: Mapping[str, Any]) -> None:
        """Take the place of :meth:`update_reals`."""
        self.reals = FeatureBank.restore(np.asarray(arrays["features"]), np.asarray(arrays["digests"]))


def require_features(bank: FeatureBank, name: str, least: int, metric: str) -> None:
    """Raise InputError if a set has fewer images than a metric needs."""
    if len(bank) < least:
        raise InputError(f"{name}: found {len(bank)} images; {metric} needs at least {least}")
