"""Where the time of one photograph goes, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the wall time of named stages; a stage inside another one stops the outer's time meanwhile.

    The figures go into the journal, never into the dataset or the manifest: those are byte-identical from run to run.

    Attributes:
        seconds: Time by stage so far, in order of first use.

    Args:
        clock: Returns seconds; tests pass their own.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what the `with` block does; an error inside it is counted and passes through."""
        self._book()
        self._running.append(name)
        self.seconds.setdefault(name, 0.0)
        try:
            yield
        finally:
            self._book()
            self._running.pop()

    def _book(self) -> None:
        """Give the time since the last change to the stage that was running."""
        now = self._clock()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
