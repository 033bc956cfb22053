"""Open .zip files and read their entries; whatever zipfile raises comes out as this project's errors."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from celebahq_tools.errors import InputError, RejectionError

ZIP_ERRORS = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError)
"""What zipfile raises for damaged archives; RuntimeError also for encrypted ones, and as NotImplementedError for kinds
of compression that it does not know."""
_ENCRYPTED = 0x1


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a .zip file for reading.

    Raises:
        InputError: If it is none, or damaged.
    """
    try:
        return zipfile.ZipFile(path)
    except ZIP_ERRORS as error:
        raise InputError(f"{path}: not a readable .zip file ({error})") from None


def read_entry(archive: zipfile.ZipFile, name: str | zipfile.ZipInfo, size: int = -1, *, most: int) -> bytes:
    """Return the first ``size`` bytes of an entry, by default all, which verifies its checksum.

    Args:
        archive: The open file.
        name: Of the entry, or the entry.
        size: Bytes to read; -1 for all.
        most: Bytes that the whole entry may have unpacked.
    Raises:
        KeyError: If there is no entry of that name.
        RejectionError: If it is encrypted, compressed in an unknown way, damaged, or larger than ``most``.
    """
    entry = archive.getinfo(name) if isinstance(name, str) else name
    if entry.flag_bits & _ENCRYPTED:
        raise RejectionError("zip", "encrypted", "needs a password")
    if entry.file_size > most:
        raise RejectionError("decode", "huge", f"{entry.file_size} bytes unpacked, the limit is {most}")
    try:
        with archive.open(entry) as file:
            return file.read(size)
    except NotImplementedError as error:
        raise RejectionError("zip", "unsupported", str(error)) from None
    except ZIP_ERRORS as error:
        raise RejectionError("zip", "damaged", str(error)) from None
