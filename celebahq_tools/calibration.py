"""How well scores predict which photographs the authors of CelebA-HQ chose."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, StoreError
from celebahq_tools.rank.quality import FACE_COMPONENTS
from celebahq_tools.source.selection_file import read_selection_file
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.manifest import read_manifest

_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Area:
    """Area under a ROC curve with a 95 % interval (Hanley and McNeil 1982)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """What `celebahq calibrate` found.

    Attributes:
        official: Photographs on the official list.
        on_list, off_list: Scored faces that are on it, and that are not.
        rejected: Reason to count, of photographs on the list that the build rejected, the most frequent first.
        areas: ``score`` and each component to its area; of a component that counts against a face, too, the area is
            that of larger values: below 0.5 then means that it works.
    """

    official: int
    on_list: int
    off_list: int
    rejected: dict[str, int]
    areas: dict[str, Area]


def calibrate_scores(work: Path, official: Path) -> Calibration:
    """Compare a build with the official list.

    Args:
        work: A build's work folder, or its manifest.
        official: As :func:`celebahq_tools.source.selection_file.read_selection_file` takes it.
    Raises:
        InputError: If a file cannot be used, or the scored faces are all on the list or all off it.
        StoreError: If the journal or manifest is damaged.
    """
    names = {row.file for row in read_selection_file(official)}
    rows = list(_read_rows(work))
    scored = [row for row in rows if row[2]]
    member = np.array([file in names for file, _, _ in scored], bool)
    if not member.any() or member.all():
        raise InputError(
            f"{work}: of {len(scored)} scored faces {int(member.sum())} are on {official}; both kinds are needed, "
            "in a build of CelebA's in-the-wild photographs"
        )
    rejected = Counter(reason for file, reason, parts in rows if not parts and file in names)
    areas = {
        name: measure_area(np.array([parts.get(name, math.nan) for _, _, parts in scored]), member)
        for name in ("score", *FACE_COMPONENTS)
    }
    return Calibration(len(names), int(member.sum()), int((~member).sum()), dict(rejected.most_common()), areas)


def measure_area(values: NDArray[np.float64], member: NDArray[np.bool_]) -> Area:
    """Return the area under the ROC curve of larger values for membership; ties count half.

    Args:
        values: Shape (N,); NaN counts as lowest.
        member: Shape (N,), some True and some False.
    """
    ranks = scipy.stats.rankdata(np.where(np.isnan(values), -np.inf, values))
    positive, negative = int(member.sum()), int((~member).sum())
    area = float((ranks[member].sum() - positive * (positive + 1) / 2) / (positive * negative))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positive - 1) * (q1 - area**2) + (negative - 1) * (q2 - area**2)
    reach = _NORMAL_95 * math.sqrt(max(variance, 0.0) / (positive * negative))
    return Area(area, max(area - reach, 0.0), min(area + reach, 1.0))


def _read_rows(work: Path) -> Iterable[tuple[str, str, dict[str, float]]]:
    """Yield file, rejection and, of a scored face, its score and components; names without their folder."""
    if work.is_dir():
        with Journal.open_readonly(work / "journal.sqlite") as journal:
            for record in journal.records():
                parts = {} if record.score is None else {"score": record.score, **record.components}
                yield Path(record.file).name, f"{record.stage}.{record.reason}", parts
        return
    for row in read_manifest(work):
        try:
            parts = {name: float(row[name]) for name in ("score", *FACE_COMPONENTS) if row.get(name)}
        except ValueError as error:
            raise StoreError(f"{work}: a row cannot be read ({error}); see celebahq verify") from None
        yield Path(row["file"]).name, row["reason"], parts if row["score"] else {}
