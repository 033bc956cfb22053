"""A SQLite file whose errors say what is wrong and what to do, whenever they come."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from celebahq_tools.errors import StoreError

START_AGAIN = "delete the work folder to start again"
"""The remedy for damage, and for nothing else."""
_Result = TypeVar("_Result")
# What the disk or the permissions have to do with: the file itself may well be sound.
_SYSTEM = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
}


def explain_error(path: Path, error: Exception) -> Exception:
    """Return the error to raise instead: OSError where disk or permissions are to blame, StoreError otherwise.

    Args:
        path: The SQLite file.
        error: Of anything that was done with it.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the bits that tell variants apart
    if code in _SYSTEM:
        return OSError(_SYSTEM[code], os.strerror(_SYSTEM[code]), str(path))
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError(
            f"{path}: cannot be opened here ({error}); a build that was killed leaves it so that reading it takes "
            "permission to write into its folder: get that, or copy the folder to where you have it"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"{path}: another program is writing to it ({error}); try again when that is done")
    return StoreError(f"{path}: not a usable journal ({error}); {START_AGAIN}")


class _Cursor(sqlite3.Cursor):
    """Rows are read from the file one at a time, so that each may meet damage."""

    def __next__(self) -> Any:
        return self.connection.call(super().__next__)  # type: ignore[attr-defined]

    def fetchone(self) -> Any:
        return self.connection.call(super().fetchone)  # type: ignore[attr-defined]


class JournalDatabase(sqlite3.Connection):
    """A connection; every statement, row and commit raises what :func:`explain_error` says.

    Args:
        address: A ``file:`` address of SQLite.
        path: The file, for messages.
        patience: Seconds to wait for another process that is writing.
    """

    def __init__(self, address: str, path: Path, *, patience: float) -> None:
        self._path = path
        self.call(lambda: super(JournalDatabase, self).__init__(address, uri=True, timeout=patience))

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Return what something that uses the database returns.

        Raises:
            OSError, StoreError: See :func:`explain_error`.
        """
        try:
            return work()
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the second where damage is quoted in the first's message
            raise explain_error(self._path, error) from None

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        """Run a statement; see :meth:`sqlite3.Connection.execute`."""
        return self.call(lambda: self.cursor(_Cursor).execute(sql, values))

    def executemany(self, sql: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        """Run a statement for each row; see :meth:`sqlite3.Connection.executemany`."""
        return self.call(lambda: self.cursor(_Cursor).executemany(sql, rows))

    def executescript(self, script: str) -> sqlite3.Cursor:
        """Run statements; see :meth:`sqlite3.Connection.executescript`."""
        return self.call(lambda: super(JournalDatabase, self).executescript(script))

    def __exit__(self, *details: Any) -> Any:
        return self.call(lambda: super(JournalDatabase, self).__exit__(*details))
