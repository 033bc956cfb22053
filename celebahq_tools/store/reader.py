"""Read multi-resolution HDF5 files: ours, and any in the original's layout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ShapeError, StoreError
from celebahq_tools.store.compression import require_filters
from celebahq_tools.store.labels import labels_path, read_label_array
from celebahq_tools.store.stream_level import StreamLevel, ThreadTeam, holds_streams

# More threads than this wait for the disk and for each other.
_MAX_THREADS = 8
_LABEL_REMEDY = "make it again, or move it away to do without labels"


class DatasetReader:
    """A dataset file opened for reading; every level is found by its shape, not by its name.

    Attributes:
        path: The file.
        labels: One-hot float32 (N, classes) from the sibling ``<name>-labels.npy``, or None.

    Where an image is one plain zlib stream, as in the original's files, or several, the bands of ours, these are taken
    out compressed and decompressed by several threads with a faster program than HDF5's own; others are read by h5py.

    Args:
        path: HDF5 file with datasets whose names start with ``data``.
        threads: Threads that decompress; by default one per core that this process may use, at most 8.
        with_labels: Whether labels beside the file are read, and have to fit.
    Raises:
        StoreError: If the file is missing, not HDF5, incomplete, or holds no image levels.
    """

    def __init__(self, path: Path, *, threads: int | None = None, with_labels: bool = True) -> None:
        self.path = Path(path)
        self._team = ThreadTeam(threads or min(count_cores(), _MAX_THREADS))
        self._streams: dict[tuple[int, int, int], StreamLevel | None] = {}
        if not self.path.is_file():
            raise StoreError(f"{path}: no such file")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise StoreError(f"{path}: not a readable HDF5 file ({error}); rebuild it or copy it again") from None
        try:
            self._levels = self._find_levels()
            self.labels = self._read_labels() if with_labels else None
        except BaseException:
            self._file.close()
            raise

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """(channels, height, width) of every level, largest first."""
        return list(self._levels)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the file's root; files of the original have none.

        Raises:
            StoreError: If they are damaged.
        """
        try:
            return dict(self._file.attrs)
        except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
            raise StoreError(f"{self.path}: damaged attributes ({error}); rebuild it or copy it again") from None

    def __len__(self) -> int:
        return len(next(iter(self._levels.values())))

    def read(self, indices: int | slice | Sequence[int], *, height: int | None = None) -> NDArray[np.uint8]:
        """Return images of one level.

        Args:
            indices: One index, a slice, or a sequence of indices in any order, repeats allowed.
            height: Height of the level in pixels; the largest when omitted.
        Returns:
            (C, h, w) uint8 for one index, else (N, C, h, w).
        Raises:
            ShapeError: If there is no such level.
            StoreError: If a chunk cannot be decompressed.
            IndexError: If an index is out of range.
        """
        shape = self._choose_level(height)
        dataset = self._levels[shape]
        single = isinstance(indices, (int, np.integer))
        if isinstance(indices, slice):
            wanted = np.arange(*indices.indices(len(dataset)))
        else:
            wanted = np.atleast_1d(np.asarray(indices))
            if wanted.dtype == bool:
                raise IndexError(f"{self.path}: a mask instead of indices; pass np.flatnonzero of it")
            wanted = wanted.astype(np.int64)
            # As for a list, -1 is the last one.
            wanted = np.where(wanted < 0, wanted + len(dataset), wanted)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(dataset):
            raise IndexError(f"{self.path}: index out of range for {len(dataset)} images")
        # Increasing and without repeats: quick for the disk, and every chunk is decompressed once.
        unique, inverse = (wanted, None) if len(wanted) == 1 else np.unique(wanted, return_inverse=True)
        try:
            streams = self._find_streams(shape)
            images = _read_slices(dataset, unique) if streams is None else streams.read(unique, self._team)
        except (OSError, RuntimeError, StoreError) as error:
            raise StoreError(f"{self.path}: damaged data in {dataset.name}: {error}") from None
        ordered: NDArray[np.uint8] = images if np.array_equal(wanted, unique) else images[inverse]
        return np.asarray(ordered[0]) if single else ordered

    def _find_streams(self, shape: tuple[int, int, int]) -> StreamLevel | None:
        """Return what reads a level's streams, None if it is left to HDF5. Remembered, since h5py takes its time."""
        if shape not in self._streams:
            dataset = self._levels[shape]
            file = dataset.file  # another one where the level is a link
            # A user block shifts what some versions of HDF5 say.
            plain = file.driver == "sec2" and not file.userblock_size and hasattr(os, "preadv")
            descriptor = file.id.get_vfd_handle() if plain else None
            self._streams[shape] = StreamLevel(dataset, descriptor) if holds_streams(dataset) else None
        return self._streams[shape]

    def _choose_level(self, height: int | None) -> tuple[int, int, int]:
        if height is None:
            return next(iter(self._levels))
        for shape in self._levels:
            if shape[1] == height:
                return shape
        raise ShapeError(f"{self.path}: no level of height {height}; it holds {[s[1] for s in self._levels]}")

    def _find_levels(self) -> dict[tuple[int, int, int], Any]:
        try:
            damaged = [name for name in self._file if not isinstance(name, str)]  # bytes, where they are no UTF-8
            nodes = [] if damaged else list(self._file.items())
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise StoreError(f"{self.path}: damaged list of datasets ({error}); rebuild it or copy it again") from None
        if damaged:
            raise StoreError(f"{self.path}: damaged name {damaged[0]!r} of a dataset; rebuild it or copy it again")
        found = {
            (int(node.shape[1]), int(node.shape[2]), int(node.shape[3])): node
            for name, node in nodes
            if name.startswith("data") and isinstance(node, h5py.Dataset) and node.ndim == 4
        }
        if not found:
            raise StoreError(f"{self.path}: holds no image levels named data*; is it a multi-resolution dataset?")
        lengths = {shape: len(node) for shape, node in found.items()}
        if len(set(lengths.values())) != 1:
            raise StoreError(f"{self.path}: levels differ in length {lengths}; the file was not finished")
        wrong = [node.name for node in found.values() if node.dtype != np.uint8]
        if wrong:
            raise StoreError(f"{self.path}: {', '.join(wrong)} is not uint8")
        for node in found.values():
            require_filters(node)
        return dict(sorted(found.items(), key=lambda item: -item[0][1] * item[0][2]))

    def _read_labels(self) -> NDArray[np.float32] | None:
        path = labels_path(self.path)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as stream:
                labels = read_label_array(stream, path.stat().st_size)
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"{path}: not a readable label file ({error}); {_LABEL_REMEDY}") from None
        if labels.ndim != 2 or len(labels) != len(self):
            raise StoreError(f"{path}: labels {labels.shape} do not match {len(self)} images; {_LABEL_REMEDY}")
        if not np.isfinite(labels).all():
            raise StoreError(f"{path}: a label is not a finite number; {_LABEL_REMEDY}")
        return np.asarray(labels, dtype=np.float32)

    def close(self) -> None:
        """Close the file."""
        self._team.close()
        self._file.close()

    def __enter__(self) -> DatasetReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read_slices(dataset: Any, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return images by HDF5 itself, in slices: a list of indices takes h5py tens of times as long.

    Args:
        dataset: A level (N, C, h, w).
        indices: Increasing.
    """
    images = np.empty((len(indices), *dataset.shape[1:]), np.uint8)
    if not len(indices):
        return images
    length = dataset.chunks[0] if dataset.chunks else 1
    # Read together is what follows each other, and what lies in one chunk.
    apart = (np.diff(indices) > 1) & (np.diff(indices // length) > 0)
    done = 0
    for run in np.split(indices, np.flatnonzero(apart) + 1):
        wanted, span = slice(done, done + len(run)), slice(int(run[0]), int(run[-1]) + 1)
        if span.stop - span.start == len(run):
            dataset.read_direct(images, span, wanted)
        else:
            images[wanted] = dataset[span][run - run[0]]
        done = wanted.stop
    return images


def count_cores() -> int:
    """Return the cores this process may use, which a container or scheduler can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
