"""How far a build is, read from its work folder while it runs or after it stopped."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from celebahq_tools.errors import InputError
from celebahq_tools.folder_lock import LOCK
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.partial_file import CHECKPOINT, count_written

# The rate is that of the last minutes: a build that was slow at first, or stopped over night, is not slow now.
_WINDOW = 600.0


@dataclass(frozen=True)
class BuildStatus:
    """How far a build is.

    Attributes:
        work: Its work folder.
        state: ``running``, ``finished``, ``stopped`` (by Ctrl-C or an error, named in ``outcome``) or ``killed``.
        outcome: As the journal notes it.
        found, done, waiting: Photographs in all, worked on, and faces in the work folder.
        written: Faces in the dataset while it is not whole.
        rate: Photographs a second over the last ten minutes of the last run; 0 if there were none.
        seconds_left: Time for the rest at that rate; None if it is unknown.
        rejected: Count by ``stage.reason``, most frequent first.
        stage_seconds: Mean seconds by stage of the photographs that went through it.
        runs: How often the build was started.
        out: The file it makes.
    """

    work: Path
    state: str
    outcome: str
    found: int
    done: int
    waiting: int
    written: int
    rate: float
    seconds_left: float | None
    rejected: dict[str, int]
    stage_seconds: dict[str, float]
    runs: int
    out: str


def read_status(path: Path, *, now: float | None = None) -> BuildStatus:
    """Return how far a build is.

    Args:
        path: Its work folder, or its ``--out`` file, whose work folder lies beside it.
        now: Seconds since 1970; the clock's when omitted.
    Raises:
        InputError: If there is no work folder, or no build was begun in it.
        StoreError: If its journal cannot be read.
    """
    work = path if (path / "journal.sqlite").is_file() else path.with_name(f"{path.name}.work")
    if not (work / "journal.sqlite").is_file():
        raise InputError(
            f"{path}: no build is under way there; pass the --work folder of a build, or its --out file. A finished "
            "build removes its work folder unless --work was given"
        )
    with Journal.open_readonly(work / "journal.sqlite") as journal:
        runs = journal.runs()
        if not runs:
            raise InputError(f"{work}: a build was planned there and never begun; run `celebahq build`")
        last = runs[-1]
        end = last.ended or now or time.time()
        times = journal.finish_times(since=max(last.started, end - _WINDOW))
        span = end - max(last.started, end - _WINDOW)
        rate = len(times) / span if span > 0 else 0.0
        found, done = int(last.details["found"]), journal.count_done()
        return BuildStatus(
            work=work,
            state=_name_state(last.outcome, work),
            outcome=last.outcome,
            found=found,
            done=done,
            waiting=journal.count_stored(),
            written=count_written(work / CHECKPOINT),
            rate=rate,
            seconds_left=max(found - done, 0) / rate if rate else None,
            rejected=journal.count_reasons(),
            stage_seconds={name: total / count for name, (count, total) in journal.total_seconds().items()},
            runs=len(runs),
            out=str(last.details["out"]),
        )


def _name_state(outcome: str, work: Path) -> str:
    if outcome != "running":
        return "finished" if outcome == "finished" else "stopped"
    try:
        with FileLock(work / LOCK, timeout=0):
            return "killed"
    except Timeout:
        return "running"
    except OSError:
        # A folder that may only be read: whoever runs the build can tell.
        return "running or killed"
