"""What SWD saves of the reals, and how it reads it back piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_metrics.base import MetricSettings, StreamedArray
from gan_metrics.descriptor_store import Descriptors, StoredLevel
from gan_metrics.descriptors import LENGTH, PER_IMAGE
from gan_metrics.projection import plan_comparisons, sort_projections

_PIECE = 64


def export_descriptors(
    reals: Descriptors, chosen: NDArray[np.int64], settings: MetricSettings
) -> dict[str, NDArray[Any] | StreamedArray]:
    """Return the arrays that :class:`SavedDescriptors` reads.

    Args:
        reals: The set.
        chosen: Which of its images, in the order of their hashes.
        settings: ``save_projections`` adds ``projections_<level>``: for every part of
            :func:`~gan_metrics.projection.plan_comparisons` the sorted projections, direction after direction.
    """
    arrays: dict[str, NDArray[Any] | StreamedArray] = {
        "digests": np.frombuffer(b"".join(reals.digests[i] for i in chosen), dtype=np.uint8).reshape(len(chosen), -1),
        "sums": np.stack([reals.sums(level, chosen) for level in range(reals.levels)], axis=1),
    }
    for level in range(reals.levels):
        shape = (len(chosen) * PER_IMAGE, LENGTH)
        pieces = _gather_pieces(reals, level, chosen)
        arrays[f"descriptors_{level}"] = StreamedArray(shape, np.dtype(np.float32), pieces)
        if settings.save_projections:
            parts = plan_comparisons(settings.seed, level, chosen)
            length = sum(len(directions) * len(images) * PER_IMAGE for directions, images in parts)
            pieces = _sort_pieces(reals, level, chosen, settings)
            arrays[f"projections_{level}"] = StreamedArray((length,), np.dtype(np.float32), pieces)
    return arrays


class SavedDescriptors:
    """Descriptors that lie in saved arrays and are read when they are needed.

    Args:
        arrays: ``digests`` (N, bytes) uint8, ``sums`` (N, levels, 2, 3) float64 and ``descriptors_<level>``
            (N * 128, 147) float32; they stay readable until the last use.
    """

    spilled = 0

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.digests = [bytes(digest) for digest in np.asarray(arrays["digests"])]
        self._sums = np.asarray(arrays["sums"], dtype=np.float64)
        self.levels = self._sums.shape[1]
        self._descriptors = [arrays[f"descriptors_{level}"] for level in range(self.levels)]

    def __len__(self) -> int:
        return len(self.digests)

    def sums(self, level: int, images: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return channel sums (images, 2, 3) of one level."""
        return np.asarray(self._sums[images, level])

    def gather(self, level: int, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the descriptors of some images at one level, (images * 128, 147) float32, contiguous."""
        first, last = int(images.min()), int(images.max())
        # Saved in the order of their hashes, the images asked for mostly stand side by side.
        block = np.asarray(self._descriptors[level][first * PER_IMAGE : (last + 1) * PER_IMAGE], dtype=np.float32)
        block = block.reshape(last - first + 1, PER_IMAGE, LENGTH)
        return np.ascontiguousarray(block[images - first]).reshape(-1, LENGTH)

    def close(self) -> None:
        """Forget the arrays."""
        self._descriptors = []


def _gather_pieces(reals: Descriptors, level: int, images: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(images), _PIECE):
        yield reals.gather(level, images[start : start + _PIECE])


def _sort_pieces(
    reals: Descriptors, level: int, chosen: NDArray[np.int64], settings: MetricSettings
) -> Iterator[NDArray[np.float32]]:
    for directions, images in plan_comparisons(settings.seed, level, chosen):
        source = StoredLevel(reals, level, images)
        memory = settings.max_memory * 3 // 4
        for rows in sort_projections(source, directions, workers=settings.workers, max_memory=memory):
            yield rows.reshape(-1)
