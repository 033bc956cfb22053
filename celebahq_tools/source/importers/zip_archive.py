"""A .zip of image files, StyleGAN's above all. Nothing is ever unpacked to the disk."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.printable import make_printable
from celebahq_tools.source.importers.base import EncodedSource, ImportRequest
from celebahq_tools.source.importers.files import MAX_TABLE_BYTES, TABLE
from celebahq_tools.source.photo import MAX_BYTES
from celebahq_tools.source.zip_entries import open_archive, read_entry
from celebahq_tools.store.labels import Labels, parse_dataset_json


class ZipSource(EncodedSource):
    """Every file in a .zip, sorted by name as StyleGAN's readers do; the content decides what it is."""

    def __init__(self, path: Path, *, use_labels: bool) -> None:
        self._zip = open_archive(path)
        try:
            entries = [entry for entry in self._zip.infolist() if not entry.is_dir() and not _is_hidden(entry.filename)]
            tables = [entry for entry in entries if entry.filename == TABLE]
            self._entries = sorted((e for e in entries if e.filename != TABLE), key=lambda entry: entry.filename)
            if not self._entries:
                raise InputError(f"{path}: holds no files")
            if use_labels and tables:
                self.labels = self._read_labels(path, tables[-1])
        except BaseException:
            self._zip.close()
            raise

    def _read_labels(self, path: Path, table: zipfile.ZipInfo) -> Labels | None:
        if table.file_size > MAX_TABLE_BYTES:
            raise InputError(f"{path}: its {TABLE} is over {MAX_TABLE_BYTES} bytes, no table of labels")
        try:
            data = read_entry(self._zip, table, most=MAX_TABLE_BYTES)
        except RejectionError as error:
            raise InputError(
                f"{path}: cannot read its {TABLE} ({error.cause}); pass --no-labels to do without"
            ) from None
        return parse_dataset_json(data, [entry.filename for entry in self._entries], f"{path}: {TABLE}")

    def __len__(self) -> int:
        return len(self._entries)

    def name(self, index: int) -> str:
        """Return the entry's name, in a form that text files can hold."""
        return make_printable(self._entries[index].filename)

    def read(self, index: int) -> bytes:
        """Return the entry's bytes; see :meth:`ImportSource.read`."""
        entry = self._entries[index]
        _check_entry(entry)
        if index and self._entries[index - 1].filename == entry.filename:
            raise RejectionError("zip", "duplicate", "the archive holds two files of this name")
        return read_entry(self._zip, entry, most=MAX_BYTES)

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()


def _is_hidden(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "__MACOSX" or any(part.startswith(".") and part.strip(".") for part in parts)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    """Reject what is suspicious: no name is ever opened as a path, but such entries were made to do harm."""
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0] or entry.orig_filename != entry.filename:
        raise RejectionError("zip", "unsafe_name", "leads out of the archive")
    mode = entry.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise RejectionError("zip", "not_a_file", "a link or a special file")


def open_zip(request: ImportRequest) -> ZipSource:
    """Open a .zip of images.

    Raises:
        InputError: If it is not a readable .zip, holds no files, or its ``dataset.json`` does not fit.
    """
    return ZipSource(request.path, use_labels=request.use_labels is not False)
