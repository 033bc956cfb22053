"""Read multi-resolution HDF5 files: ours, and any in the original's layout."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ShapeError, StoreError
from celebahq_tools.store.bands import Band, list_bands, paste_band
from celebahq_tools.store.compression import require_filters, uses_gzip_alone
from celebahq_tools.store.streams import decompress_stream

# More threads than this wait for the disk and for each other.
_MAX_THREADS = 8
# Chunks of other programs that are smaller are left to HDF5: looking each of them up would cost more than is gained.
_LEAST_BAND = 2**14


@dataclass(frozen=True)
class _Streams:
    """How the images of a level lie in zlib streams.

    Attributes:
        level: The dataset's low-level object of h5py, asked for every chunk.
        chunk: (C, h, w) of a chunk.
        size: Bytes of a chunk's pixels.
        bands: The chunks of one image.
        fill: Value of chunks that were never written.
    """

    level: Any
    chunk: tuple[int, int, int]
    size: int
    bands: tuple[Band, ...]
    fill: int


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
    Raises:
        StoreError: If the file is missing, not HDF5, incomplete, or holds no image levels.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.path = Path(path)
        self._threads = threads or min(count_cores(), _MAX_THREADS)
        # Threads do not survive a fork: a pool belongs to the process that made it.
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        self._streams: dict[tuple[int, int, int], _Streams | None] = {}
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
        # Increasing and without repeats: quick for the disk, and every chunk is decompressed once.
        unique, inverse = np.unique(wanted, return_inverse=True)
        try:
            streams = self._find_streams(shape)
            images = _read_slices(dataset, unique) if streams is None else self._read_streams(streams, shape, unique)
        except (OSError, StoreError) as error:
            raise StoreError(f"{self.path}: damaged data in {dataset.name}: {error}") from None
        ordered: NDArray[np.uint8] = images if np.array_equal(wanted, unique) else images[inverse]
        return np.asarray(ordered[0]) if single else ordered

    def _find_streams(self, shape: tuple[int, int, int]) -> _Streams | None:
        """Return how to read a level's streams, None if that is left to HDF5. Remembered, since h5py takes its time."""
        if shape not in self._streams:
            dataset = self._levels[shape]
            found = None
            if _holds_streams(dataset):
                chunk = dataset.chunks[1:]
                fill = int(dataset.fillvalue)
                found = _Streams(dataset.id, chunk, math.prod(chunk), list_bands(shape, chunk), fill)
            self._streams[shape] = found
        return self._streams[shape]

    def _read_streams(
        self, streams: _Streams, shape: tuple[int, int, int], indices: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return images (N, C, h, w), decompressed by this thread and those of the pool."""
        images = np.empty((len(indices), *shape), np.uint8)
        # Every thread takes the next band when it is done with one, so that none waits while there is work.
        jobs = product(enumerate(indices.tolist()), streams.bands)
        take = threading.Lock()

        def work() -> None:
            while True:
                with take:
                    job = next(jobs, None)
                if job is None:
                    return
                (position, index), band = job
                self._read_band(streams, index, band, images[position])

        helpers = min(self._threads, len(indices) * len(streams.bands)) - 1
        futures = [self._start_pool().submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            wait(futures)
        for future in futures:
            future.result()
        return images

    def _read_band(self, streams: _Streams, index: int, band: Band, image: NDArray[np.uint8]) -> None:
        """Put one chunk of an image where it belongs in (C, h, w) pixels."""
        found = _read_chunk(streams.level, (index, *band.place))
        if found is None:
            image[band.area] = streams.fill
            return
        mask, stream = found
        # A set bit means that the chunk skipped the filter, which HDF5 does when a stream would not fit.
        data = stream if mask else decompress_stream(stream, streams.size)
        if len(data) != streams.size:
            raise StoreError(f"a chunk of {len(data)} bytes instead of {streams.size}")
        paste_band(image, band, streams.chunk, data)

    def _start_pool(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pool[0] != os.getpid():
            # The thread that reads is one of them.
            self._pool = os.getpid(), ThreadPoolExecutor(max(self._threads - 1, 1), thread_name_prefix="celebahq-read")
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


def _read_chunk(level: Any, place: tuple[int, ...]) -> tuple[int, bytes] | None:
    """Return filter mask and stored bytes of a chunk, None if it was never written.

    HDF5 finds a chunk that it is to read by its index. Where a chunk lies it tells by going through all of them, which
    took up to 0.17 s among 120,000 (benchmarks/results/store.md): so that is asked only if there is nothing to read.
    """
    try:
        mask, stream = level.read_direct_chunk(place)
    except (OSError, RuntimeError) as error:
        if not level.get_chunk_info_by_coord(place).size:
            return None
        raise StoreError(f"a chunk that cannot be read ({error})") from None
    return mask, stream


def _holds_streams(dataset: Any) -> bool:
    """Return whether every chunk is one image or a good part of one, compressed by the gzip filter alone."""
    chunk = dataset.chunks
    if chunk is None or chunk[0] != 1 or (math.prod(chunk) < _LEAST_BAND and chunk[1:] != dataset.shape[1:]):
        return False
    return uses_gzip_alone(dataset)


def count_cores() -> int:
    """Return the cores this process may use, which a container or scheduler can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
