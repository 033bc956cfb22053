"""A work folder as it changes: what a page that was drawn earlier still has to learn."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from celebahq_tools.report.build import list_columns
from celebahq_tools.report.view import JOURNAL, Snapshot, WorkView
from celebahq_tools.store.reviews import Reviews


@dataclass(frozen=True)
class _State:
    """What a page shows of a face."""

    kept: bool
    verdict: str


class LiveWork:
    """Follows a journal; every change of it gets a number, and pages ask for what came after the one they know.

    Args:
        view: The work folder.
    """

    def __init__(self, view: WorkView) -> None:
        self.view = view
        self.reviews = Reviews(view.path / JOURNAL)
        # A page that knows numbers of another server's life has to begin again.
        self.epoch = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._signature: object = None
        self._version = 0
        self._states: dict[int, _State] = {}
        self._changed: dict[int, int] = {}
        self._snapshot: Snapshot
        self._verdicts: dict[int, str] = {}
        self.refresh()

    @property
    def snapshot(self) -> Snapshot:
        """The newest one."""
        return self._snapshot

    @property
    def verdicts(self) -> dict[int, str]:
        """What people decided, by source index."""
        return self._verdicts

    def look(self) -> dict[str, Any]:
        """Return the newest number, after looking at the journal if its files changed."""
        self.refresh()
        return {"version": self._version, "epoch": self.epoch}

    def tell_news(self) -> None:
        """Give the work a new number although no face changed: the page has something else to show."""
        with self._lock:
            self._version += 1

    def refresh(self) -> None:
        """Read the journal if its files changed."""
        with self._lock:
            signature = self._sign()
            if signature == self._signature:
                return
            self._signature = signature
            self._snapshot = self.view.take_snapshot()
            self._verdicts = dict(self.reviews.verdicts())
            self._compare()

    def list_changes(self, since: int, epoch: str) -> dict[str, Any]:
        """Return the faces that changed after a number, as the page's script reads them.

        Args:
            since: The number the page knows; 0 if none.
            epoch: Of the server that gave it.
        """
        with self._lock:
            whole = epoch != self.epoch
            if whole:
                since = 0
            changed = {index for index, version in self._changed.items() if version > since}
            index = self._snapshot.faces.index
            rows = np.array([row for row in self._at_hand() if int(index[row]) in changed], dtype=np.int64)
            columns = list_columns(self._snapshot, rows)
            columns["verdict"] = [self._verdicts.get(number, "") for number in columns["index"]]
            removed = sorted(changed - self._states.keys())
            return {"version": self._version, "epoch": self.epoch, "whole": whole, "removed": removed, "faces": columns}

    def _compare(self) -> None:
        faces = self._snapshot.faces
        kept = faces.kept
        states = {
            int(faces.index[row]): _State(bool(kept[row]), self._verdicts.get(int(faces.index[row]), ""))
            for row in self._at_hand()
        }
        # Also when no face changed: counts and times did.
        self._version += 1
        for index, state in states.items():
            if self._states.get(index) != state:
                self._changed[index] = self._version
        for index in self._states.keys() - states.keys():
            self._changed[index] = self._version
        self._states = states

    def _at_hand(self) -> list[int]:
        return np.flatnonzero(self._snapshot.at_hand).tolist()

    def _sign(self) -> tuple[tuple[int, int], ...]:
        signs = []
        for name in (JOURNAL, f"{JOURNAL}-wal"):
            try:
                status = (self.view.path / name).stat()
                signs.append((status.st_size, status.st_mtime_ns))
            except OSError:
                signs.append((0, 0))
        return tuple(signs)
