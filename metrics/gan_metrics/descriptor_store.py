"""Descriptors of a set of images: in memory up to a limit and in a nameless temporary file beyond it."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError
from gan_metrics.descriptors import LENGTH, PER_IMAGE, SIDE, compute_channel_moments
from gan_metrics.raw_file import move_whole

IMAGE_BYTES = PER_IMAGE * LENGTH * 4


class Descriptors(Protocol):
    """Descriptors, channel sums and hashes of a set of images."""

    @property
    def levels(self) -> int:
        """Pyramid levels per image."""
        ...

    @property
    def digests(self) -> Sequence[bytes]:
        """Hash of each image's pixels."""
        ...

    @property
    def spilled(self) -> int:
        """Images whose descriptors went to a temporary file."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def sums(self, level: int, images: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return channel sums (images, 2, 3) of one level."""
        ...

    def gather(self, level: int, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the descriptors of some images at one level, (images * 128, 147) float32, contiguous."""
        ...

    def close(self) -> None:
        """Free memory and files."""
        ...


def sort_by_content(descriptors: Descriptors) -> NDArray[np.int64]:
    """Return image indices in the order of their hashes, which no order of arrival can change."""
    return np.array(sorted(range(len(descriptors)), key=descriptors.digests.__getitem__), dtype=np.int64)


class DescriptorStore:
    """Append-only store of the descriptors, channel sums and hashes of images; filled by any threads.

    The temporary file has no name in the file system (where the system allows it), so that nothing is left behind
    even if the program is killed.

    Args:
        levels: Pyramid levels per image.
        memory: Bytes to keep in memory before spilling to disk.
    """

    def __init__(self, levels: int, memory: int) -> None:
        self.levels = levels
        self.digests: list[bytes] = []
        self._sums: list[NDArray[np.float64]] = []
        # An image's descriptors, or its place in the file.
        self._places: list[NDArray[np.float32] | int] = []
        self._room = memory // (levels * IMAGE_BYTES)
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.digests)

    @property
    def spilled(self) -> int:
        """Images whose descriptors went to a temporary file."""
        return max(len(self._places) - self._room, 0)

    def append(self, digest: bytes, sums: NDArray[np.float64], descriptors: NDArray[np.float32]) -> None:
        """Add one image.

        Args:
            digest: Hash of its pixels.
            sums: (levels, 2, 3) channel sums.
            descriptors: (levels, 128, 147) float32, contiguous; not to be changed any more.
        Raises:
            InputError: If the disk is full.
        """
        with self._lock:
            record = len(self._places) - self._room
            self._places.append(descriptors if record < 0 else record)
            self.digests.append(digest)
            self._sums.append(sums)
        if record >= 0:
            self._spill(record, descriptors)

    def sums(self, level: int, images: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return channel sums (images, 2, 3) of one level."""
        return np.stack([self._sums[index][level] for index in images])

    def gather(self, level: int, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the descriptors of some images at one level, (images * 128, 147) float32, contiguous."""
        out = np.empty((len(images), PER_IMAGE, LENGTH), dtype=np.float32)
        for row, image in zip(out, images.tolist(), strict=True):
            place = self._places[image]
            if isinstance(place, int):
                self._read((place * self.levels + level) * IMAGE_BYTES, row)
            else:
                row[...] = place[level]
        return out.reshape(-1, LENGTH)

    def close(self) -> None:
        """Free memory and the temporary file."""
        self._places.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _spill(self, record: int, descriptors: NDArray[np.float32]) -> None:
        try:
            with self._lock:
                if self._file is None:
                    # Buffering would copy every read once more; the page cache does its work.
                    self._file = tempfile.TemporaryFile(prefix="swd-", buffering=0)  # noqa: SIM115 - closed by close()
            move_whole(self._file, descriptors.data.cast("B"), record * self.levels * IMAGE_BYTES, self._lock, "write")
        except OSError as error:
            raise InputError(
                f"{tempfile.gettempdir()}: cannot hold the descriptors ({error.strerror}); free some space, set TMPDIR "
                f"to another disk, or raise --max-memory"
            ) from None

    def _read(self, position: int, out: NDArray[np.float32]) -> None:
        if self._file is None:
            raise InputError("the descriptor store is closed already")
        if not move_whole(self._file, out.data.cast("B"), position, self._lock, "read"):
            raise InputError("the temporary file of descriptors was cut short; is the disk full?")


class StoredLevel:
    """One level of some images of a store, normalised per channel over exactly these; a descriptor source.

    Args:
        store: Where the descriptors lie.
        level: Which pyramid level, 0 the largest.
        images: Which images, in which order.
    """

    def __init__(self, store: Descriptors, level: int, images: NDArray[np.int64]) -> None:
        self._store, self._level, self._images = store, level, images
        values_per_channel = len(images) * PER_IMAGE * SIDE * SIDE
        mean, std = compute_channel_moments(store.sums(level, images), values_per_channel)
        self.shift, self.scale = np.repeat(mean, SIDE * SIDE), np.repeat(1 / std, SIDE * SIDE)

    def __len__(self) -> int:
        """Return the number of descriptors."""
        return len(self._images) * PER_IMAGE

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return raw descriptors; both bounds are whole images."""
        return self._store.gather(self._level, self._images[start // PER_IMAGE : stop // PER_IMAGE])
