"""Which faces of a build are kept: the one place that decides, while the build runs and at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import StoreError
from celebahq_tools.rank.duplicates import THUMB_SIDE, Thumbs, choose_distinct, decode_thumb
from celebahq_tools.rank.select import select_best
from celebahq_tools.store.journal import Journal

Duplicates = Literal["off", "near", "mirrored"]
# What the manifest says of a face that a person rejected.
_REFUSED = ("review.rejected", "")


@dataclass(frozen=True, eq=False)
class Choice:
    """Which faces go into the dataset.

    Attributes:
        kept: Source indices in the order of the dataset: that of the source, or of the list that was asked for.
        threshold: The lowest score that was kept for its score; infinity if nothing was.
        reasons: Source index to ``(stage.reason, detail)`` of scored faces that were left out for another reason than
            their score; the manifest prints it.
    """

    kept: NDArray[np.int64]
    threshold: float
    reasons: Mapping[int, tuple[str, str]] = field(default_factory=dict)


def choose_faces(
    journal: Journal, keep: int, *, among: NDArray[np.int64] | None = None, duplicates: Duplicates = "off"
) -> Choice:
    """Return the faces to keep, as far as the journal knows.

    A pure function of the journal's rows: neither the order in which they came, nor which faces still wait in the work
    folder, may change its result. The build deletes waiting faces by it while it runs, and makes those again that its
    last result asks for and that were deleted; so every rule may stand here, also one by which a face can come back.

    Faces rejected by review are left out, faces accepted by review are kept whatever their score.

    Args:
        journal: The journal of the build.
        keep: How many faces to keep, at least 1.
        among: Source indices that take part, ascending; all when omitted. The journal may know more, from a build of
            other photographs in the same work folder.
        duplicates: ``near`` leaves out a face that repeats one of better score, ``mirrored`` also if it is its mirror
            image; see :mod:`celebahq_tools.rank.duplicates`. Faces accepted by review stay, and come before others.
    Raises:
        StoreError: If duplicates are asked for and a face has no thumbnail.
    """
    indices, scores = journal.scores()
    if among is not None:
        part = np.isin(indices, among, assume_unique=True)
        indices, scores = indices[part], scores[part]
    verdicts = journal.verdicts()
    if duplicates != "off":
        return _choose_distinct(journal, indices, scores, verdicts, keep, mirrored=duplicates == "mirrored")
    if not verdicts:
        best = select_best(scores, keep)
        return Choice(indices[best.indices], best.threshold)
    # What people decided comes first: who accepts a face means it, whatever its score; the rest fill up by score.
    said = np.array([verdicts.get(index, "") for index in indices.tolist()], dtype=np.str_)
    accepted = np.flatnonzero(said == "accepted")
    accepted = accepted[select_best(scores[accepted], keep).indices]
    others = np.flatnonzero(said == "")
    room = keep - len(accepted)
    best = select_best(scores[others], room) if room else select_best([], 1)
    chosen = np.sort(np.concatenate([accepted, others[best.indices]]))
    reasons = {int(index): _REFUSED for index in indices[said == "refused"]}
    return Choice(indices[chosen], best.threshold, reasons)


def _choose_distinct(
    journal: Journal,
    indices: NDArray[np.int64],
    scores: NDArray[np.float64],
    verdicts: Mapping[int, str],
    keep: int,
    *,
    mirrored: bool,
) -> Choice:
    thumbs = _load_thumbs(journal, indices)
    said = np.array([verdicts.get(index, "") for index in indices.tolist()], dtype=np.str_)
    # As in select_best: of equal scores the earlier comes first. A journal holds finite scores only.
    order = np.argsort(-scores, kind="stable")
    accepted, others = order[said[order] == "accepted"][:keep], order[said[order] == ""]
    distinct = choose_distinct(np.concatenate([accepted, others]), thumbs, keep, mirrored=mirrored, sure=len(accepted))
    by_score = distinct.kept[len(accepted) :]
    threshold = float(scores[by_score].min()) if len(by_score) else float("inf")
    reasons = {
        int(indices[position]): ("rank.duplicate", f"repeats index {indices[original]}, which comes before it")
        for position, original in distinct.original.items()
    }
    reasons |= {int(index): _REFUSED for index in indices[said == "refused"]}
    return Choice(indices[np.sort(distinct.kept)], threshold, reasons)


def _load_thumbs(journal: Journal, indices: NDArray[np.int64]) -> Thumbs:
    """Return the thumbnails of faces, (N, 24, 24); of several hundred thousand they are most of what a choice takes."""
    thumbs = np.empty((len(indices), THUMB_SIDE, THUMB_SIDE), np.uint8)
    missing = np.ones(len(indices), bool)
    for index, data in journal.thumbs():
        place = int(np.searchsorted(indices, index))
        if place < len(indices) and indices[place] == index:
            thumbs[place] = decode_thumb(data)
            missing[place] = False
    if missing.any():
        first = indices[np.argmax(missing)]
        raise StoreError(f"{journal.path}: face {first} has no thumbnail; pass --guards no-duplicates")
    return thumbs


def choose_listed(journal: Journal, order: NDArray[np.int64]) -> Choice:
    """Return the faces of a list in its own order, whatever their scores.

    Left out are photographs that were rejected, and faces that a person rejected in review.

    Args:
        journal: The journal of the build.
        order: Source indices, each once.
    """
    indices, scores = journal.scores()
    refused = np.isin(order, [index for index, verdict in journal.verdicts().items() if verdict == "refused"])
    reasons = dict.fromkeys(order[refused].tolist(), _REFUSED)
    kept = order[np.isin(order, indices, assume_unique=True) & ~refused]
    listed = np.isin(indices, kept, assume_unique=True)
    return Choice(kept, float(scores[listed].min(initial=np.inf)), reasons)
