"""Progress bars of long commands: rate, time left, and what became of the photographs."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celebahq_tools.types import ItemRecord


class BuildProgress:
    """Draws one bar per stage of a build on standard error; a `with` block closes the last."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._rejected = 0

    def begin_stage(self, name: str, *, total: int, done: int) -> None:
        """Start a stage's bar, closing the one before."""
        from tqdm import tqdm

        self.close()
        self._bar = tqdm(total=total, initial=done, desc=name, unit="img", dynamic_ncols=True, smoothing=0.05)

    def advance(self, record: ItemRecord | None) -> None:
        """Move the bar by one; a rejection is counted beside it."""
        if record is not None and record.reason:
            self._rejected += 1
            self._bar.set_postfix(rejected=self._rejected, refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> BuildProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class StepProgress:
    """Draws the bar of a training on standard error, with its losses; a `with` block closes it."""

    def __init__(self) -> None:
        self._bar: Any = None

    def begin(self, *, total: int, done: int) -> None:
        """Start the bar with so many steps done."""
        from tqdm import tqdm

        self._bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True, smoothing=0.05)

    def advance(self, figures: dict[str, float]) -> None:
        """Move the bar by one step."""
        self._bar.set_postfix({name: f"{value:.4f}" for name, value in figures.items()}, refresh=False)
        self._bar.update()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        from tqdm import tqdm

        tqdm.write(text)

    def __enter__(self) -> StepProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class ReportProgress:
    """Draws one bar per part of a report on standard error; a `with` block closes the last."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Move the bar of ``what``; another name starts another bar."""
        from tqdm import tqdm

        if what != self._what:
            self.close()
            self._bar = tqdm(total=total, desc=f"report: {what}", dynamic_ncols=True, leave=False)
            self._what = what
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar, self._what = None, ""

    def __enter__(self) -> ReportProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
