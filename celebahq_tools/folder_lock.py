"""Keeps two programs from writing into one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from celebahq_tools.errors import ConfigError

LOCK = "lock"
"""Name of the file that is locked; it stays behind, and means nothing by itself."""


@contextmanager
def lock_folder(folder: Path, *, what: str, option: str) -> Iterator[None]:
    """Keep others out of a folder; the system lifts the lock when this process dies.

    Args:
        folder: It exists and can be written.
        what: What is running in it, for the message: ``build``, ``training``.
        option: The option that names another folder.
    Raises:
        ConfigError: If another process holds the folder.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        with lock:
            yield
    except Timeout:
        raise ConfigError(f"{folder}: another {what} is running in it; wait for it, or pass another {option}") from None
