"""Minibatches ahead of time, in an order that is a pure function of the seed and the number of images taken."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError
from pggan_core.data import LevelSource, open_source
from pggan_core.distributed import SOLO, Ranks

# A level that fits is read once; above this, images are read as they are needed.
CACHE_BYTES = 256 * 2**20
_READ_BLOCK = 1024
_AHEAD = 4


@dataclass(frozen=True)
class Request:
    """What one step reads.

    Attributes:
        cursor: Where in the order it begins.
        count: Images of all processes.
        height: Height of the level.
        batch: Minibatch size, of which ``count`` is a multiple; 0 for a single minibatch.
    """

    cursor: int
    count: int
    height: int
    batch: int = 0

    def list_places(self, ranks: Ranks) -> NDArray[np.int64]:
        """Return this process's places in the order: its part of every minibatch."""
        places = np.arange(self.cursor, self.cursor + self.count)
        share = ranks.share(self.batch or self.count)
        return places.reshape(-1, share.total)[:, share.start : share.stop].reshape(-1)


@dataclass(frozen=True)
class Minibatch:
    """Images (N, C, h, w) uint8, already mirrored, with their one-hot labels."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.float32] | None


class Loader:
    """Reads minibatches in the background.

    The order is a fresh permutation per pass over the data, and mirroring a coin per place in the order, both from
    the seed: to resume, it is enough to know the cursor.

    Args:
        path: Dataset, opened again by every process.
        source: The same, opened here.
        seed: Seed of order and mirroring.
        mirror: Flip half of the images left to right.
        plan: Gives the request after a request; batches are read ahead along it.
        workers: Reading processes; 0 reads in a thread.
        ranks: The processes that share every minibatch; each reads its own part.
    """

    def __init__(
        self,
        path: Path,
        source: LevelSource,
        *,
        seed: int,
        mirror: bool,
        plan: Callable[[Request], Request | None],
        workers: int = 0,
        ranks: Ranks = SOLO,
    ) -> None:
        self._source, self._seed, self._mirror, self._plan = source, seed, mirror, plan
        self._path = path
        self._workers = workers
        self._ranks = ranks
        self._pool = self._open_pool()
        self._ahead: deque[tuple[Request, Future[Minibatch]]] = deque()
        self._cache: tuple[int, NDArray[np.uint8]] | None = None

    def take(self, request: Request) -> Minibatch:
        """Return a minibatch, from those read ahead if it follows the plan.

        Raises:
            InputError: If a reading process died.
        """
        while self._ahead and self._ahead[0][0] != request:
            self._ahead.popleft()[1].cancel()
        following: Request | None = self._ahead[-1][0] if self._ahead else None
        if following is None:
            self._ahead.append((request, self._submit(request)))
            following = request
        while len(self._ahead) <= _AHEAD and following is not None:
            following = self._plan(following)
            if following is not None:
                self._ahead.append((following, self._submit(following)))
        try:
            return self._ahead.popleft()[1].result()
        except BrokenProcessPool:
            raise InputError(f"{self._path}: a reading process died; try --workers 0") from None

    def _open_pool(self) -> Executor:
        if self._workers == 0:
            # One thread: an HDF5 file allows one reader at a time anyway.
            return ThreadPoolExecutor(max_workers=1)
        # Not fork: torch and HDF5 hold threads and locks that do not survive it.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, mp_context=context, initializer=_leave_interrupts_alone)

    def _submit(self, request: Request) -> Future[Minibatch]:
        places = request.list_places(self._ranks)
        indices = order_images(places, len(self._source), self._seed)
        flips = draw_flips(places, self._seed) if self._mirror else None
        labels = self._source.labels
        chosen = None if labels is None else labels[indices]
        if isinstance(self._pool, ThreadPoolExecutor):
            return self._pool.submit(self._read_here, indices, flips, chosen, request.height)
        if self._fits(request.height):
            done: Future[Minibatch] = Future()
            done.set_result(self._read_here(indices, flips, chosen, request.height))
            return done
        return self._pool.submit(_read_there, self._path, indices, flips, chosen, request.height)

    def _read_here(
        self,
        indices: NDArray[np.int64],
        flips: NDArray[np.bool_] | None,
        labels: NDArray[np.float32] | None,
        height: int,
    ) -> Minibatch:
        if not self._fits(height):
            return Minibatch(_flip(self._source.read(indices.tolist(), height), flips), labels)
        if self._cache is None or self._cache[0] != height:
            self._cache = None  # Let go of the smaller level before reading the larger one.
            blocks = [
                self._source.read(range(start, min(start + _READ_BLOCK, len(self._source))), height)
                for start in range(0, len(self._source), _READ_BLOCK)
            ]
            self._cache = (height, np.concatenate(blocks))
        return Minibatch(_flip(self._cache[1][indices], flips), labels)

    def _fits(self, height: int) -> bool:
        channels, full_height, full_width = self._source.shape
        return len(self._source) * channels * height * (full_width * height // full_height) <= CACHE_BYTES

    def close(self) -> None:
        """Stop reading."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def order_images(places: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Return the image index at each place of the endless order: one permutation per pass.

    Args:
        places: Places, counted from 0 at the start of training.
        count: Images in the dataset.
        seed: Seed of the permutations.
    """
    passes, offsets = np.divmod(places, count)
    indices = np.empty_like(offsets)
    for number in np.unique(passes):
        chosen = passes == number
        indices[chosen] = _permute(count, seed, int(number))[offsets[chosen]]
    return indices


def draw_flips(places: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Return a fair coin for each place, the same whatever batch the place falls into."""
    # Philox is counter-based: the coin of a place needs none of those before it.
    first, last = int(places[0]) // 4, int(places[-1]) // 4
    stream = np.random.Philox(key=[seed, 1], counter=first).random_raw(4 * (last - first + 1))
    return (stream[places - 4 * first] & 1).astype(bool)


def _leave_interrupts_alone() -> None:
    """Ctrl-C reaches every process of a terminal; the training process decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@lru_cache(maxsize=4)
def _permute(count: int, seed: int, number: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 0, number]).permutation(count)


@lru_cache(maxsize=1)
def _open_once(path: Path) -> LevelSource:
    return open_source(path)


def _read_there(
    path: Path,
    indices: NDArray[np.int64],
    flips: NDArray[np.bool_] | None,
    labels: NDArray[np.float32] | None,
    height: int,
) -> Minibatch:
    """Read in a worker process, which keeps the dataset open between calls."""
    return Minibatch(_flip(_open_once(path).read(indices.tolist(), height), flips), labels)


def _flip(pixels: NDArray[np.uint8], flips: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    if flips is None:
        return pixels
    return np.where(flips[:, None, None, None], pixels[..., ::-1], pixels)
