"""What the caller of a run is told, and asked, along the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pggan_core.gallery import Snapshot
from pggan_core.schedule import SchedulePoint
from pggan_core.step import StepReport


@dataclass(frozen=True)
class Progress:
    """One step done, for progress bars."""

    images_shown: int
    images_total: int
    point: SchedulePoint
    report: StepReport


def _ignore(*_: object) -> None:
    return None


@dataclass(frozen=True)
class Hooks:
    """What the caller does along the way; everything is optional.

    Attributes:
        on_step: Told after every step.
        on_snapshot: Returns scores by name.
        should_stop: Asked after every step; a stopped run writes a checkpoint first.
        say: Told what the user should know.
    """

    on_step: Callable[[Progress], None] = _ignore
    on_snapshot: Callable[[Snapshot], Mapping[str, float]] | None = None
    should_stop: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = _ignore
