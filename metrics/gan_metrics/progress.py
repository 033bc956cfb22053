"""One progress report out of several parts."""

from __future__ import annotations

from gan_metrics.base import Progress


class ProgressPlan:
    """Adds up the steps of several parts of equal weight.

    Args:
        progress: Told how far the whole is; None for nobody.
        levels: Number of parts.
    """

    def __init__(self, progress: Progress | None, levels: int) -> None:
        self._progress, self._levels, self._finished = progress, levels, 0

    def report(self, done: int, total: int) -> None:
        """Say how far the present part is."""
        if self._progress is not None:
            self._progress(self._finished * 100 + done * 100 // total, self._levels * 100)

    def finish_level(self) -> None:
        """Go on to the next part."""
        self._finished += 1
