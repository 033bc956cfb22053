"""Read multi-resolution HDF5 files: ours, and any in the original's layout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ShapeError, StoreError
from celebahq_tools.store.compression import require_filters
from celebahq_tools.store.streams import decompress_stream

# More threads than this wait for the disk and for each other.
_MAX_THREADS = 8


class DatasetReader:
    """A dataset file opened for reading; every level is found by its shape, not by its name.

    Attributes:
        path: The file.
        labels: One-hot float32 (N, classes) from the sibling ``<name>-labels.npy``, or None.

    Images whose chunk is a plain zlib stream, as in our files and the original's, are taken out compressed and
    decompressed by several threads with a faster program than HDF5's own; others are read by h5py.

    Args:
        path: HDF5 file with datasets whose names start with ``data``.
        threads: Threads that decompress; by default one per core that this process may use, at most 8.
    Raises:
        StoreError: If the file is missing, not HDF5, incomplete, or holds no image levels.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.path = Path(path)
        self._threads = threads or min(count_cores(), _MAX_THREADS)
        # Threads do not survive a fork: a pool belongs to the process that made it.
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        if not self.path.is_file():
            raise StoreError(f"{path}: no such file")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise StoreError(f"{path}: not a readable HDF5 file ({error}); rebuild it or copy it again") from None
        try:
            self._levels = self._find_levels()
            self.labels = self._read_labels()
        except BaseException:
            self._file.close()
            raise

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """(channels, height, width) of every level, largest first."""
        return list(self._levels)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the file's root; files of the original have none."""
        return dict(self._file.attrs)

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
            wanted = np.atleast_1d(np.asarray(indices, dtype=np.int64))
            # As for a list, -1 is the last one.
            wanted = np.where(wanted < 0, wanted + len(dataset), wanted)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(dataset):
            raise IndexError(f"{self.path}: index out of range for {len(dataset)} images")
        # Increasing and without repeats: quick for the disk, and all that h5py takes.
        unique, inverse = np.unique(wanted, return_inverse=True)
        try:
            images = self._read_streams(dataset, unique) if _holds_streams(dataset) else np.asarray(dataset[unique])
        except (OSError, StoreError) as error:
            raise StoreError(f"{self.path}: damaged data in {dataset.name}: {error}") from None
        ordered: NDArray[np.uint8] = images if np.array_equal(wanted, unique) else images[inverse]
        return np.asarray(ordered[0]) if single else ordered

    def _read_streams(self, dataset: Any, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return images (N, C, h, w) whose chunks are one zlib stream each."""
        images = np.empty((len(indices), *dataset.shape[1:]), np.uint8)
        bytes_per_image = images[0].nbytes if len(images) else 0

        def read_one(position: int) -> None:
            place = (int(indices[position]), 0, 0, 0)
            if not dataset.id.get_chunk_info_by_coord(place).size:
                images[position] = dataset.fillvalue
                return
            mask, stream = dataset.id.read_direct_chunk(place)
            # A set bit means that the chunk skipped the filter, which HDF5 does when a stream would not fit.
            data = stream if mask else decompress_stream(stream, bytes_per_image)
            images[position] = np.frombuffer(data, np.uint8).reshape(images.shape[1:])

        if len(indices) > 1 and self._threads > 1:
            list(self._start_pool().map(read_one, range(len(indices))))
        else:
            for position in range(len(indices)):
                read_one(position)
        return images

    def _start_pool(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(self._threads, thread_name_prefix="celebahq-read")
        return self._pool[1]

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
        path = self.path.with_name(f"{self.path.stem}-labels.npy")
        if not path.is_file():
            return None
        try:
            labels = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: not a readable label file ({error})") from None
        if labels.ndim != 2 or len(labels) != len(self):
            raise StoreError(f"{path}: labels {labels.shape} do not match {len(self)} images")
        return np.asarray(labels, dtype=np.float32)

    def close(self) -> None:
        """Close the file."""
        if self._pool is not None and self._pool[0] == os.getpid():
            self._pool[1].shutdown()
        self._file.close()

    def __enter__(self) -> DatasetReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _holds_streams(dataset: Any) -> bool:
    """Return whether every chunk is one image, compressed by the gzip filter alone."""
    plist = dataset.id.get_create_plist()
    one_each: bool = dataset.chunks == (1, *dataset.shape[1:])
    return one_each and plist.get_nfilters() == 1 and bool(plist.get_filter(0)[0] == h5py.h5z.FILTER_DEFLATE)


def count_cores() -> int:
    """Return the cores this process may use, which a container or scheduler can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
