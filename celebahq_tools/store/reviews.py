"""What people decided about faces: accepted or rejected, in the journal of the build, with undo."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Literal, cast

from celebahq_tools.errors import ConfigError, StoreError

Verdict = Literal["accepted", "refused"]
VERDICTS: tuple[Verdict, ...] = ("accepted", "refused")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS reviews (
    id INTEGER PRIMARY KEY AUTOINCREMENT, idx INTEGER NOT NULL, verdict TEXT NOT NULL, made REAL NOT NULL)
"""
# A build may be writing to the same file.
_PATIENCE = 30.0


class Reviews:
    """Writes verdicts into a journal; a build, or anyone, may use the journal meanwhile.

    Every verdict is a row, so that the last ones can be undone one by one, also after a restart; the newest row of a
    face counts.

    Args:
        path: The journal; it must exist.
    Raises:
        StoreError: If there is no such journal.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise StoreError(f"{path}: no journal; give the --work folder of a build")
        self.path = path

    def add(self, index: int, verdict: str) -> None:
        """Decide about a face; an empty verdict takes back what was decided.

        Raises:
            ConfigError: If the verdict is unknown, or the journal has no scored face of this index.
        """
        if verdict not in (*VERDICTS, ""):
            raise ConfigError(f"verdict {verdict!r}: must be accepted, refused, or empty")
        if not 0 <= index < 2**63:  # what a row of the database can be
            raise ConfigError(f"face {index}: the journal has no face of this index")
        with _Writing(self.path) as database:
            known = database.execute("SELECT 1 FROM items WHERE idx = ? AND score IS NOT NULL", (index,)).fetchone()
            if known is None:
                raise ConfigError(f"face {index}: the journal has no face of this index")
            row = (index, verdict, time.time())
            database.execute("INSERT INTO reviews (idx, verdict, made) VALUES (?, ?, ?)", row)

    def undo(self) -> int | None:
        """Take back the newest verdict; returns whose it was, or None if there is none."""
        with _Writing(self.path) as database:
            row = database.execute("SELECT id, idx FROM reviews ORDER BY id DESC LIMIT 1").fetchone()
            if row is None:
                return None
            database.execute("DELETE FROM reviews WHERE id = ?", (row[0],))
            return int(row[1])

    def verdicts(self) -> dict[int, Verdict]:
        """Return what counts now, by source index."""
        # Reading waits for nobody, not even for a build that was halted while it wrote.
        try:
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as database:
                return read_verdicts(database)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: cannot read reviews: {error}") from None


class _Writing:
    """A journal for one transaction, with its table of reviews. Threads of a server each get their own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._database = sqlite3.connect(self._path, timeout=_PATIENCE)
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: cannot write reviews: {error}; is a build writing for long?") from None
        return self._database

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        try:
            self._database.rollback() if kind else self._database.commit()
        finally:
            self._database.close()


def read_verdicts(database: sqlite3.Connection) -> dict[int, Verdict]:
    """Return what counts in a journal that is open, by source index; nothing if nobody has reviewed it."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'reviews'").fetchone():
        return {}
    rows = database.execute(
        "SELECT idx, verdict FROM reviews WHERE id IN (SELECT max(id) FROM reviews GROUP BY idx) ORDER BY idx"
    )
    return {int(index): cast(Verdict, verdict) for index, verdict in rows if verdict in VERDICTS}
