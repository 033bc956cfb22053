"""Images of a level that lie in zlib streams: taken out compressed, and decompressed by several threads."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import StoreError
from celebahq_tools.store.bands import Band, list_bands, paste_band
from celebahq_tools.store.compression import uses_gzip_alone
from celebahq_tools.store.streams import decompress_stream

# Chunks of other programs that are smaller are left to HDF5: looking each of them up would cost more than is gained.
_LEAST_BAND = 2**14
# Listing a level's chunks costs as much, for each of its images, as a tenth of what it saves for each that is read
# afterwards (benchmarks/results/store.md): so it is done when that part was read without.
_PATIENCE = 10


def holds_streams(dataset: Any) -> bool:
    """Return whether every chunk of a level is one image or a good part of one, compressed by the gzip filter alone."""
    chunk = dataset.chunks
    if chunk is None or chunk[0] != 1 or (math.prod(chunk) < _LEAST_BAND and chunk[1:] != dataset.shape[1:]):
        return False
    return uses_gzip_alone(dataset)


class ThreadTeam:
    """Threads that help the calling one. They do not survive a fork: each process gets its own.

    Args:
        threads: How many work at most, the calling one among them.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def run(self, work: Callable[[], None], jobs: int) -> None:
        """Call ``work`` in this thread and in others, at most once for each job, until all have returned.

        Raises:
            Exception: What it raised in one of them.
        """
        helpers = min(self._threads, jobs) - 1
        futures = [self._start_pool().submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            wait(futures)
        for future in futures:
            future.result()

    def _start_pool(self) -> ThreadPoolExecutor:
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(self._threads - 1, thread_name_prefix="celebahq-read")
        return self._pool[1]

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None and self._pool[0] == os.getpid():
            self._pool[1].shutdown()


class _ListedChunks:
    """The chunks of a level, once it is known where they lie: read past HDF5.

    Args:
        level: The dataset's low-level object of h5py, asked once for all chunks.
        length: Images of the level.
        bands: The chunks of an image.
        descriptor: Of the file.
    Raises:
        OSError, RuntimeError, OverflowError: If the index of the chunks is damaged.
    """

    def __init__(self, level: Any, length: int, bands: Sequence[Band], descriptor: int) -> None:
        self._descriptor = descriptor
        self._offsets = np.zeros((length, len(bands)), np.int64)
        # 0 where nothing was ever written.
        self._sizes = np.zeros((length, len(bands)), np.int64)
        self._unfiltered: set[tuple[int, int]] = set()
        self._local = threading.local()
        numbers = {band.place: number for number, band in enumerate(bands)}

        def note(chunk: Any) -> None:
            image, *place = chunk.chunk_offset
            number = numbers.get(tuple(place))
            if image >= length or number is None:
                return  # of a dataset that was made smaller, or damaged
            self._offsets[image, number] = chunk.byte_offset
            self._sizes[image, number] = chunk.size
            if chunk.filter_mask:
                self._unfiltered.add((image, number))

        level.chunk_iter(note)

    def take(self, index: int, number: int) -> tuple[bool, memoryview] | None:
        """Return whether a chunk skipped the filter and its bytes; the thread's next call writes over them.

        Returns:
            None if the chunk was never written.
        Raises:
            StoreError: If it lies beyond the end of the file.
            OSError: If the file cannot be read.
        """
        size, offset = int(self._sizes[index, number]), int(self._offsets[index, number])
        if not size:
            return None
        room: bytearray | None = getattr(self._local, "room", None)
        if room is None or len(room) < size:
            if size > os.fstat(self._descriptor).st_size:
                raise StoreError(f"a chunk of {size} bytes, more than the file has")
            room = self._local.room = bytearray(size)
        stream = memoryview(room)[:size]
        got = os.preadv(self._descriptor, [stream], offset)
        if got != size:
            raise StoreError(f"a chunk of {size} bytes, {got} of them in the file")
        return (index, number) in self._unfiltered, stream


class StreamLevel:
    """One level of a dataset whose chunks are zlib streams.

    HDF5 finds a chunk that it is to read by its index; where a chunk lies it tells by going through all of them, which
    took up to 0.17 s among 120,000 (benchmarks/results/store.md). So the first images of a long level are read by
    HDF5; then all its chunks are listed once, and the others are read past it, which holds up no other thread.

    Args:
        dataset: A dataset of h5py for which :func:`holds_streams`.
        descriptor: Of the file, whose bytes must be where HDF5 says; None to leave all reading to HDF5.
    """

    def __init__(self, dataset: Any, descriptor: int | None) -> None:
        self._id = dataset.id
        self._shape: tuple[int, ...] = dataset.shape
        self._chunk: tuple[int, int, int] = dataset.chunks[1:]
        self._size = math.prod(self._chunk)
        self._bands = list_bands(self._shape[1:], self._chunk)
        self._fill = int(dataset.fillvalue)
        self._descriptor = descriptor
        self._listed: _ListedChunks | None = None
        self._read_so_far = 0

    def read(self, indices: NDArray[np.int64], team: ThreadTeam) -> NDArray[np.uint8]:
        """Return images (N, C, h, w).

        Args:
            indices: Which.
            team: Who decompresses.
        Raises:
            StoreError: If a chunk cannot be read or decompressed.
        """
        self._prepare(len(indices))
        images = np.empty((len(indices), *self._shape[1:]), np.uint8)
        # Every thread takes the next band when it is done with one, so that none waits while there is work.
        jobs = product(enumerate(indices.tolist()), enumerate(self._bands))
        take = threading.Lock()

        def work() -> None:
            while True:
                with take:
                    job = next(jobs, None)
                if job is None:
                    return
                (position, index), (number, band) = job
                self._read_band(index, number, band, images[position])

        team.run(work, len(indices) * len(self._bands))
        return images

    def _prepare(self, images: int) -> None:
        """List the chunks as soon as that is worth while."""
        if self._descriptor is None or self._listed is not None:
            return
        self._read_so_far += images
        if self._read_so_far * _PATIENCE < self._shape[0]:
            return
        try:
            self._listed = _ListedChunks(self._id, self._shape[0], self._bands, self._descriptor)
        except (OSError, RuntimeError, OverflowError):
            self._descriptor = None  # HDF5 may still find some

    def _read_band(self, index: int, number: int, band: Band, image: NDArray[np.uint8]) -> None:
        """Put one chunk of an image where it belongs in (C, h, w) pixels."""
        listed = self._listed
        found = listed.take(index, number) if listed is not None else _read_chunk(self._id, (index, *band.place))
        if found is None:
            image[band.area] = self._fill
            return
        unfiltered, stream = found
        # HDF5 skips the filter where a stream would not fit.
        data = stream if unfiltered else decompress_stream(stream, self._size)
        if len(data) != self._size:
            raise StoreError(f"a chunk of {len(data)} bytes instead of {self._size}")
        paste_band(image, band, self._chunk, data)


def _read_chunk(level: Any, place: tuple[int, ...]) -> tuple[bool, bytes] | None:
    """Return by HDF5 whether a chunk skipped the filter and its bytes, None if it was never written.

    Where a chunk lies is asked only if there is nothing to read, as that means going through all of them.
    """
    try:
        mask, stream = level.read_direct_chunk(place)
    except (OSError, RuntimeError, MemoryError) as error:  # the last where no chunk of the level was written
        if _is_unwritten(level, place):
            return None
        raise StoreError(f"a chunk that cannot be read ({error})") from None
    return bool(mask), stream


def _is_unwritten(level: Any, place: tuple[int, ...]) -> bool:
    try:
        return not level.get_num_chunks() or not level.get_chunk_info_by_coord(place).size
    except (OSError, RuntimeError):
        return False  # a damaged index
