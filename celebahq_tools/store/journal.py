"""The journal of a build: one SQLite row per photograph, so that a stopped build knows what is done."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from celebahq_tools.errors import ConfigError, StoreError
from celebahq_tools.types import ItemRecord

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    idx INTEGER PRIMARY KEY, file TEXT NOT NULL, sha256 TEXT NOT NULL, landmarks TEXT, quad TEXT, zoom REAL,
    photo_fraction REAL, score REAL, components TEXT NOT NULL, stage TEXT NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, stored INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS by_stored ON items (stored, idx);
"""
_COLUMNS = "idx, file, sha256, landmarks, quad, zoom, photo_fraction, score, components, stage, reason, detail"


class Journal:
    """What became of every photograph so far.

    Args:
        path: The SQLite file; made if missing.
    Raises:
        StoreError: If the file is not a journal or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._database = sqlite3.connect(path)
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: not a usable journal ({error}); delete the work folder to start again") from None

    def bind_settings(self, settings: dict[str, str]) -> None:
        """Remember the settings that decide pixels and scores, or compare them with those remembered.

        Raises:
            ConfigError: If the work folder was begun with other settings; mixing them would be silent corruption.
        """
        known = dict(self._database.execute("SELECT key, value FROM settings"))
        if not known:
            with self._database:
                self._database.executemany("INSERT INTO settings VALUES (?, ?)", settings.items())
            return
        changed = [
            f"{key}: {known.get(key)} -> {settings.get(key)}"
            for key in sorted(known.keys() | settings.keys())
            if known.get(key) != settings.get(key)
        ]
        if changed:
            raise ConfigError(
                f"{self.path.parent}: was begun with other settings ({'; '.join(changed)}); "
                "use them again, or another --work folder, or delete this one"
            )

    def record(self, record: ItemRecord) -> None:
        """Write one row, durably; a row of the same index is replaced."""
        row = (
            record.index,
            record.file,
            record.sha256,
            None if record.landmarks is None else json.dumps(record.landmarks.tolist()),
            None if record.quad is None else json.dumps(record.quad.tolist()),
            record.zoom,
            record.photo_fraction,
            record.score,
            json.dumps(dict(record.components)),
            record.stage,
            record.reason,
            record.detail,
            record.score is not None,
        )
        with self._database:
            self._database.execute(f"INSERT OR REPLACE INTO items VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608

    def forget(self, indices: list[int]) -> None:
        """Delete rows, so that their photographs are worked on again."""
        with self._database:
            self._database.executemany("DELETE FROM items WHERE idx = ?", [(index,) for index in indices])

    def mark_deleted(self, indices: list[int]) -> None:
        """Note that faces out of reach of the selection were deleted from the work folder."""
        with self._database:
            self._database.executemany("UPDATE items SET stored = 0 WHERE idx = ?", [(index,) for index in indices])

    def done(self) -> set[int]:
        """Return the indices that have a row."""
        return {row[0] for row in self._database.execute("SELECT idx FROM items")}

    def stored_scores(self) -> tuple[list[int], list[float]]:
        """Return indices and scores of the faces in the work folder, in index order."""
        rows = self._database.execute("SELECT idx, score FROM items WHERE stored ORDER BY idx").fetchall()
        return [row[0] for row in rows], [row[1] for row in rows]

    def deleted(self) -> list[int]:
        """Return indices of scored faces that are no longer in the work folder."""
        return [
            row[0] for row in self._database.execute("SELECT idx FROM items WHERE score IS NOT NULL AND NOT stored")
        ]

    def count_stored(self) -> int:
        """Return the number of faces in the work folder."""
        return int(self._database.execute("SELECT count(*) FROM items WHERE stored").fetchone()[0])

    def count_reasons(self) -> dict[str, int]:
        """Return how many photographs were rejected for each ``stage.reason``, most frequent first."""
        query = (
            "SELECT stage || '.' || reason AS name, count(*) AS n FROM items "
            "WHERE reason != '' GROUP BY name ORDER BY n DESC, name"
        )
        return dict(self._database.execute(query))

    def records(self) -> Iterator[ItemRecord]:
        """Yield every row in index order."""
        for row in self._database.execute(f"SELECT {_COLUMNS} FROM items ORDER BY idx"):  # noqa: S608
            index, file, sha256, landmarks, quad, zoom, fraction, score, components, stage, reason, detail = row
            yield ItemRecord(
                index,
                file,
                sha256,
                None if landmarks is None else np.array(json.loads(landmarks), np.float32),
                None if quad is None else np.array(json.loads(quad), np.float64),
                zoom,
                fraction,
                score,
                json.loads(components),
                stage,
                reason,
                detail,
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
