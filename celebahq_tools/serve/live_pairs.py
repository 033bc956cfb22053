"""Faces that look alike, for a page of a build under way: found beside the answers, never while one waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.rank.duplicates import THUMB_SIDE, Thumbs, make_thumb
from celebahq_tools.report.pairs import find_pairs
from celebahq_tools.report.view import DatasetView, Snapshot

# Every pair of hashes is compared, which grows with the square: of more faces the best are looked at.
_MOST_FACES = 40_000
# A search is followed by a rest of this many times its length: a build adds faces all the time.
_REST = 10.0


@dataclass(frozen=True, eq=False)
class AlikeFaces:
    """What one search found.

    Attributes:
        compared: How many faces were compared.
        pairs: Both source indices and the difference of every pair, the likest first.
    """

    compared: int
    pairs: tuple[tuple[int, int, float], ...]


class LivePairs:
    """Keeps the pairs of alike faces of a work folder; a thread searches, only after somebody looked.

    Args:
        view: The work folder.
        tell: Called in the thread when there is something new to show.
        rest: Times its length that a search is followed by nothing.
    """

    def __init__(self, view: DatasetView, tell: Callable[[], None], *, rest: float = _REST) -> None:
        self._view = view
        self._tell = tell
        self._rest = rest
        self._lock = threading.Lock()
        self._busy = False
        self._wanted: NDArray[np.int64] | None = None
        self._searched: NDArray[np.int64] | None = None
        self._found: AlikeFaces | None = None
        # Of the faces at hand: a face is read once. The thread alone touches them.
        self._thumbs: dict[int, Thumbs] = {}

    def look(self, snapshot: Snapshot) -> AlikeFaces | None:
        """Return what is known by now, None before the first search has ended; begin another if faces have changed.

        Args:
            snapshot: The newest one.
        """
        wanted = _choose_faces(snapshot)
        with self._lock:
            if self._wanted is None or not np.array_equal(wanted, self._wanted):
                self._wanted = wanted
                if not self._busy:
                    self._busy = True
                    threading.Thread(target=self._follow, name="pairs of faces", daemon=True).start()
            return self._found

    def _follow(self) -> None:
        """Search until nothing newer is wanted."""
        try:
            while (wanted := self._next()) is not None:
                started = time.monotonic()
                found = self._search(wanted)
                with self._lock:
                    news = self._found is None or found.pairs != self._found.pairs
                    self._found, self._searched = found, wanted
                if news:
                    self._tell()
                time.sleep(self._rest * (time.monotonic() - started))
        except BaseException:
            with self._lock:  # the next look tries again
                self._busy, self._wanted = False, None
            raise

    def _next(self) -> NDArray[np.int64] | None:
        with self._lock:
            if self._wanted is self._searched:
                self._busy = False
                return None
            return self._wanted

    def _search(self, wanted: NDArray[np.int64]) -> AlikeFaces:
        known = {index: self._thumbs.get(index) for index in wanted.tolist()}
        for index in [index for index, thumb in known.items() if thumb is None]:
            # A work folder: its faces lie under their index, whatever their position.
            pixels = self._view.read_face(index, -1, side=THUMB_SIDE)
            if pixels is not None and len(pixels) >= THUMB_SIDE:
                known[index] = make_thumb(pixels)
        self._thumbs = {index: thumb for index, thumb in known.items() if thumb is not None}
        if not self._thumbs:
            return AlikeFaces(0, ())
        indices = list(self._thumbs)
        pairs = find_pairs(np.stack(list(self._thumbs.values())))
        return AlikeFaces(
            len(indices), tuple((indices[pair.first], indices[pair.second], pair.difference) for pair in pairs)
        )


def _choose_faces(snapshot: Snapshot) -> NDArray[np.int64]:
    """Return the source indices of the faces at hand in increasing order, of too many the best."""
    faces = snapshot.faces
    rows = np.flatnonzero(snapshot.at_hand)
    if len(rows) > _MOST_FACES:
        scores = np.where(np.isfinite(faces.score[rows]), faces.score[rows], -np.inf)
        rows = np.sort(rows[np.argsort(-scores, kind="stable")[:_MOST_FACES]])
    return np.asarray(faces.index[rows], np.int64)
