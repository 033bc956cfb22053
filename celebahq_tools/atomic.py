"""Files that are whole or absent: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is fsynced and renamed, on any error removed.

    Args:
        path: Final file. An existing one stays untouched until the rename replaces it.
    Yields:
        An existing empty file in the same folder, so that the rename never crosses file systems.
    Raises:
        OSError: If the folder cannot be written or the disk is full; nothing is left behind.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; a finished file gets the permissions any other new file would have.
        temporary.chmod(0o666 & ~_read_umask())
        sync_to_disk(temporary)
        temporary.replace(path)
        sync_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_partial(folder: Path, name: str = "") -> None:
    """Delete the files that killed programs were writing in a folder and that never got their names.

    Args:
        folder: It may be missing. Nobody else may be writing in it, at least not ``name``.
        name: What they would have been called; any by default.
    """
    for path in folder.glob(f".{name}.*.partial" if name else ".*.partial"):
        path.unlink()


@contextmanager
def write_folder_atomically(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``; on success its files are fsynced and it is renamed, on any error removed.

    A folder that is there already is set aside for the rename and deleted after it. Power lost between the two renames
    leaves both under hidden names beside ``path``: nothing is lost, and nothing half-written bears the name.

    Args:
        path: Final folder. An existing one stays untouched until the new one is whole.
    Raises:
        OSError: If the folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    retired = temporary.with_suffix(".retired")
    try:
        yield temporary
        temporary.chmod(0o777 & ~_read_umask())
        for folder, _, files in os.walk(temporary):
            for name in files:
                sync_to_disk(Path(folder, name))
            sync_to_disk(Path(folder))
        if path.exists():
            path.rename(retired)
        try:
            temporary.rename(path)
        except BaseException:
            if retired.exists():
                retired.rename(path)
            raise
        sync_to_disk(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def _read_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def write_text_atomically(path: Path, text: str) -> None:
    """Write a UTF-8 text file that is whole or absent."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_to_disk(path: Path) -> None:
    """Flush a file or folder to the disk, so that a later power loss cannot undo it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
