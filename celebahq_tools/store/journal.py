"""The journal of a build: one SQLite row per photograph, so that a stopped build knows what is done."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import CelebahqError, ConfigError, StoreError
from celebahq_tools.store.journal_database import START_AGAIN, JournalDatabase
from celebahq_tools.store.journal_rows import COLUMNS, decode_row, encode_row
from celebahq_tools.store.reviews import Verdict, read_verdicts
from celebahq_tools.types import ItemRecord

# Raised whenever the tables change. A journal lives as long as one build, so that old ones are refused, not converted.
SCHEMA_VERSION = 3

_SCHEMA = f"""
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    idx INTEGER PRIMARY KEY, file TEXT NOT NULL, sha256 BLOB NOT NULL, landmarks BLOB, quad BLOB, zoom REAL,
    photo_fraction REAL, score REAL, components TEXT NOT NULL, stage TEXT NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, seconds TEXT NOT NULL, facts TEXT NOT NULL, thumb BLOB NOT NULL, stored INTEGER NOT NULL,
    finished REAL NOT NULL);
CREATE INDEX IF NOT EXISTS by_finished ON items (finished);
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, outcome TEXT NOT NULL, details TEXT NOT NULL);
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
# Seconds to wait for another process that is writing, such as for `celebahq status` while a build runs.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Run:
    """One start of a build.

    Attributes:
        started, ended: Seconds since 1970; ``ended`` is None while it runs, and for ever if it was killed.
        outcome: ``running``, ``finished``, or the kind of error that ended it.
        details: What it was started with: program and library versions, host, workers, backend, photographs found.
    """

    started: float
    ended: float | None
    outcome: str
    details: Mapping[str, Any]


class Journal:
    """What became of every photograph so far.

    One process writes; others may read meanwhile (:meth:`open_readonly`). A row is safe from a killed process as soon
    as it is recorded; a power loss may take the last ones, whose photographs are then worked on again.

    Args:
        path: The SQLite file; made if missing.
    Raises:
        StoreError: If the file is not a journal, is of another version, damaged, or cannot be opened; any method may
            meet the damage.
        OSError: If the disk is full or the file may not be written; any method that writes may meet that.
    """

    def __init__(self, path: Path) -> None:
        self._open(path, f"file:{_quote(path)}", _SCHEMA)

    @classmethod
    def open_readonly(cls, path: Path) -> Journal:
        """Return a journal that can be read only, also while a build writes to it.

        Raises:
            StoreError: As for the constructor, and if the file is missing.
        """
        if not path.is_file():
            raise StoreError(
                f"{path}: no journal; pass the --work folder of a build (by default OUT's name with .work)"
            )
        journal = cls.__new__(cls)
        journal._open(path, f"file:{_quote(path)}?mode=ro", "")
        return journal

    def _open(self, path: Path, address: str, schema: str) -> None:
        self.path = path
        self._database = JournalDatabase(address, path, patience=_PATIENCE)
        known = self._database.execute("PRAGMA user_version").fetchone()[0]
        tables = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if known != SCHEMA_VERSION and (tables or not schema):
            raise StoreError(
                f"{path}: a journal of another version of the program ({known}, this is {SCHEMA_VERSION}); "
                f"finish the build with that version, or {START_AGAIN}"
            )
        self._database.executescript(schema)
        # With WAL this loses nothing when a process is killed, and costs no disk flush per row.
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._stored = {row[0] for row in self._database.execute("SELECT idx FROM items WHERE stored")}

    def bind_settings(self, settings: Mapping[str, str]) -> None:
        """Remember the settings that decide pixels and scores, or compare them with those remembered.

        Raises:
            ConfigError: If the work folder was begun with other settings; mixing them would be silent corruption.
        """
        known = self.settings()
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

    def settings(self) -> dict[str, str]:
        """Return the settings remembered; empty in a new journal."""
        return dict(self._database.execute("SELECT key, value FROM settings"))

    def begin_run(self, details: Mapping[str, Any]) -> int:
        """Note that a build starts; returns the number to end it with."""
        with self._database:
            row = (time.time(), "running", json.dumps(dict(details)))
            cursor = self._database.execute("INSERT INTO runs (started, outcome, details) VALUES (?, ?, ?)", row)
        return int(cursor.lastrowid or 0)

    def end_run(self, number: int, outcome: str) -> None:
        """Note how a build ended."""
        with self._database:
            row = (time.time(), outcome, number)
            self._database.execute("UPDATE runs SET ended = ?, outcome = ? WHERE id = ?", row)

    def runs(self) -> list[Run]:
        """Return every start of the build, the oldest first."""
        rows = self._database.execute("SELECT started, ended, outcome, details FROM runs ORDER BY id")
        return [Run(started, ended, outcome, self._parse(details)) for started, ended, outcome, details in rows]

    def record(self, record: ItemRecord) -> None:
        """Write one row; a row of the same index is replaced. A scored face counts as waiting in the work folder."""
        stored = record.score is not None
        row = (*encode_row(record), stored, time.time())
        with self._database:
            self._database.execute(f"INSERT OR REPLACE INTO items VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
        (self._stored.add if stored else self._stored.discard)(record.index)

    def forget(self, indices: Iterable[int]) -> None:
        """Delete rows, so that their photographs are worked on again."""
        gone = set(indices)
        with self._database:
            self._database.executemany("DELETE FROM items WHERE idx = ?", [(index,) for index in gone])
        self._stored -= gone

    def mark_deleted(self, indices: Iterable[int]) -> None:
        """Note that scored faces no longer wait in the work folder."""
        gone = set(indices)
        with self._database:
            self._database.executemany("UPDATE items SET stored = 0 WHERE idx = ?", [(index,) for index in gone])
        self._stored -= gone

    def mark_waiting(self, indices: Iterable[int]) -> None:
        """Note that scored faces wait in the work folder again; safe from a power loss as soon as this returns."""
        back = set(indices)
        self._database.execute("PRAGMA synchronous = FULL")
        with self._database:
            self._database.executemany("UPDATE items SET stored = 1 WHERE idx = ?", [(index,) for index in back])
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._stored |= back

    def files(self) -> Iterator[tuple[int, str]]:
        """Yield index and file of every row, in index order."""
        yield from self._database.execute("SELECT idx, file FROM items ORDER BY idx")

    def done(self) -> NDArray[np.int64]:
        """Return the indices that have a row, ascending."""
        rows = self._database.execute("SELECT idx FROM items ORDER BY idx")
        return np.fromiter((row[0] for row in rows), np.int64)

    def count_done(self) -> int:
        """Return the number of photographs that have a row."""
        return int(self._database.execute("SELECT count(*) FROM items").fetchone()[0])

    def scores(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return indices and scores of all scored faces in index order, whether or not they still wait."""
        rows = self._database.execute("SELECT idx, score FROM items WHERE score IS NOT NULL ORDER BY idx")
        table = np.fromiter(rows, dtype=[("idx", np.int64), ("score", np.float64)])
        return table["idx"], table["score"]

    def thumbs(self) -> Iterator[tuple[int, bytes]]:
        """Yield index and thumbnail of all scored faces that have one, in index order."""
        query = "SELECT idx, thumb FROM items WHERE score IS NOT NULL AND thumb != x'' ORDER BY idx"
        yield from self._database.execute(query)

    def faces_found(self) -> dict[int, int]:
        """Return index to number of faces of the photographs in which the detector looked for them."""
        query = "SELECT idx, json_extract(facts, '$.faces') AS faces FROM items WHERE faces IS NOT NULL ORDER BY idx"
        return dict(self._database.execute(query))

    def stored(self) -> set[int]:
        """Return the indices of the faces that wait in the work folder."""
        return set(self._stored)

    def count_stored(self) -> int:
        """Return the number of faces that wait in the work folder."""
        return len(self._stored)

    def count_reasons(self, among: Container[int] | None = None) -> dict[str, int]:
        """Return how many photographs were rejected for each ``stage.reason``, most frequent first.

        Args:
            among: Indices to count; all when omitted.
        """
        query = "SELECT idx, stage || '.' || reason FROM items WHERE reason != ''"
        found = (name for index, name in self._database.execute(query) if among is None or index in among)
        return dict(sorted(Counter(found).items(), key=lambda pair: (-pair[1], pair[0])))

    def rejected(self, stage: str) -> dict[int, str]:
        """Return index to reason of the photographs that a stage rejected."""
        return dict(self._database.execute("SELECT idx, reason FROM items WHERE stage = ? AND reason != ''", (stage,)))

    def finish_times(self, since: float = 0.0) -> NDArray[np.float64]:
        """Return when photographs were recorded, in seconds since 1970, ascending."""
        query = "SELECT finished FROM items WHERE finished >= ? ORDER BY finished"
        return np.fromiter((row[0] for row in self._database.execute(query, (since,))), np.float64)

    def total_seconds(self) -> dict[str, tuple[int, float]]:
        """Return for every stage how many photographs went through it and the seconds they took together."""
        totals: dict[str, tuple[int, float]] = {}
        for (text,) in self._database.execute("SELECT seconds FROM items ORDER BY idx"):
            for name, seconds in self._parse(text).items():
                count, total = totals.get(name, (0, 0.0))
                totals[name] = (count + 1, total + seconds)
        return totals

    def records(self) -> Iterator[ItemRecord]:
        """Yield every row in index order."""
        yield from self._read_records("ORDER BY idx", ())

    def records_since(self, time: float) -> Iterator[tuple[float, ItemRecord]]:
        """Yield the rows recorded at or after a time (seconds since 1970), each with when it was."""
        query = f"SELECT finished, {COLUMNS} FROM items WHERE finished >= ?"  # noqa: S608
        for finished, *row in self._database.execute(query, (time,)):
            yield finished, self._read_row(row)

    def find_records(self, indices: Iterable[int]) -> Iterator[ItemRecord]:
        """Yield the rows of some indices, in the order given; those without a row are passed over."""
        for index in indices:
            yield from self._read_records("WHERE idx = ?", (index,))

    def verdicts(self) -> dict[int, Verdict]:
        """Return what people decided about faces, by source index."""
        return read_verdicts(self._database)

    def _read_records(self, clause: str, values: tuple[int, ...]) -> Iterator[ItemRecord]:
        rows = self._database.execute(f"SELECT {COLUMNS} FROM items {clause}", values)  # noqa: S608
        yield from map(self._read_row, rows)

    def _read_row(self, row: Sequence[Any]) -> ItemRecord:
        try:
            return decode_row(row)
        except (ValueError, TypeError, AttributeError, CelebahqError) as error:
            raise StoreError(f"{self.path}: row {row[0]} is damaged ({error}); {START_AGAIN}") from None

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            return dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.path}: damaged ({error}); {START_AGAIN}") from None

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _quote(path: Path) -> str:
    """Return a path as it stands in SQLite's file: addresses, where some characters mean something else."""
    from urllib.parse import quote

    return quote(str(path.absolute()))
