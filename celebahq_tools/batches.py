"""Several items in one task of a cluster, so that what a task costs beside the work is small."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# A task of Dask costs all its processes together 5 to 10 ms of processor time: little beside half a second. More would
# make the bar jerk, and cost more when a worker is lost.
SECONDS = 0.5
# Finished faces come back together where the work folder is not shared: about 2.4 MB each.
MOST_ITEMS = 16


@dataclass(frozen=True)
class DoneBatch(Generic[R]):
    """What comes back of a batch.

    Attributes:
        results: In the order of the items, up to an error.
        seconds: Wall time that the worker took.
        error: What the work raised, which ended the batch.
    """

    results: list[R]
    seconds: float
    error: Exception | None = None


@dataclass(frozen=True)
class BatchWork(Generic[T, R]):
    """The work on one item as work on many, picklable if ``work`` is."""

    work: Callable[[T], R]

    def __call__(self, items: list[T]) -> DoneBatch[R]:
        """Work on items one after the other; what was finished before an error is not lost."""
        began = time.perf_counter()
        results: list[R] = []
        error: Exception | None = None
        try:
            for item in items:
                results.append(self.work(item))
        except Exception as raised:
            error = raised
        return DoneBatch(results, time.perf_counter() - began, error)


class Batcher:
    """Cuts a stream of items into batches that take about :data:`SECONDS`, learning from those that are done.

    It begins with single items, so that slow ones, such as photographs that go through nets, are never more than one
    to a task. One thread may cut while another one learns.

    Attributes:
        size: Items of the next batch.
    """

    def __init__(self) -> None:
        self.size = 1
        self._mean: float | None = None

    def cut(self, items: Iterator[T]) -> Iterator[list[T]]:
        """Yield lists of items, each taken only when it is asked for."""
        while batch := list(islice(items, self.size)):
            yield batch

    def unpack(self, finished: Iterable[DoneBatch[R]]) -> Iterator[R]:
        """Yield the results in batches that are done, learning from each.

        Raises:
            Exception: What the work raised, after the results before it.
        """
        for done in finished:
            self.learn(len(done.results), done.seconds)
            yield from done.results
            if done.error is not None:
                raise done.error

    def learn(self, items: int, seconds: float) -> None:
        """Take in how long a batch took in its worker."""
        if not items:
            return
        # Half of the newest: a worker's first item is slow, as it loads nets and libraries.
        mean = seconds / items
        self._mean = mean if self._mean is None else (self._mean + mean) / 2
        fitting = int(SECONDS / self._mean) if self._mean > 0 else MOST_ITEMS
        self.size = max(1, min(fitting, 2 * self.size, MOST_ITEMS))
