"""What a report counts, and which faces it shows large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.report.view import Snapshot


@dataclass(frozen=True)
class Counts:
    """The way of the photographs through the pipeline.

    Attributes:
        found: In the source.
        waiting: Not worked on yet.
        rejected: That gave no face, by ``stage.reason``, most frequent first.
        ranked: Faces made and scored.
        kept: Faces in the dataset.
        left_out: Scored faces left out for more than their score, by reason.
    """

    found: int
    waiting: int
    rejected: dict[str, int]
    ranked: int
    kept: int
    left_out: dict[str, int]


def count_outcomes(snapshot: Snapshot) -> Counts:
    """Return the counts of a snapshot."""
    rejected = Counter(f"{record.stage}.{record.reason}" for record in snapshot.rejections)
    left_out = Counter(reason for reason, _ in snapshot.left_out.values())
    ranked = len(snapshot.faces)
    return Counts(
        snapshot.found,
        snapshot.found - ranked - len(snapshot.rejections),
        dict(rejected.most_common()),
        ranked,
        int(snapshot.faces.kept.sum()),
        dict(left_out.most_common()),
    )


@dataclass(frozen=True, eq=False)
class Group:
    """Faces shown side by side.

    Attributes:
        name: Short; unique on the page.
        title: Heading.
        rows: Rows of the face table, in order of display.
        remark: What to look for.
    """

    name: str
    title: str
    rows: NDArray[np.int64]
    remark: str


def choose_groups(snapshot: Snapshot, visible: Callable[[int], bool], *, count: int, seed: int = 0) -> list[Group]:
    """Return best, worst, around-the-cut and random faces; all lie within what can be shown.

    Args:
        snapshot: The dataset.
        visible: Whether the face of a table row can be shown.
        count: Faces per group.
        seed: Of the random faces.
    """
    faces = snapshot.faces
    order = np.argsort(-np.where(np.isfinite(faces.score), faces.score, -np.inf), kind="stable")
    ranked = np.array([row for row in order if visible(row)], dtype=np.int64)
    kept = ranked[faces.kept[ranked]]
    below = ranked[~faces.kept[ranked] & (faces.score[ranked] <= snapshot.threshold)]
    half = count // 2
    around = np.concatenate([kept[::-1][:half][::-1], below[: count - half]])
    random = np.sort(np.random.default_rng(seed).permutation(len(kept))[:count])
    groups = [
        Group("best", "Best", kept[:count], "Broad, even spectra: these should be sharp and clean."),
        Group("worst", "Worst of those kept", kept[::-1][:count], "If these will do, all will."),
        Group(
            "cut",
            "Around the cut",
            around,
            "The last ones kept, then the first ones left out: is the line in the right place?"
            if len(below)
            else "The last ones kept; no face below the cut is at hand to compare.",
        ),
        Group("random", "Random", kept[random], "What a training batch looks like, best score first."),
    ]
    return [group for group in groups if len(group.rows)]
