"""A folder of image files, ours or StyleGAN's with its labels in ``dataset.json``."""

from __future__ import annotations

import os
from pathlib import Path

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.printable import make_printable
from celebahq_tools.source.importers.base import EncodedSource, ImportRequest
from celebahq_tools.source.photo import read_photo_file
from celebahq_tools.store.labels import parse_dataset_json

TABLE = "dataset.json"
MAX_TABLE_BYTES = 2**30


class FolderSource(EncodedSource):
    """Every file below a folder, by name with forward slashes; the content decides what it is, not its suffix.

    Hidden files and folders are passed over. Links to files are followed, links to folders are not: they could lead
    round in circles, and are named instead.
    """

    def __init__(self, folder: Path, *, use_labels: bool) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        self._names = sorted(self._list_files())
        if not self._names:
            raise InputError(f"{folder}: holds no files")
        table = folder / TABLE
        if use_labels and table.is_file():
            if table.stat().st_size > MAX_TABLE_BYTES:
                raise InputError(f"{table}: is over {MAX_TABLE_BYTES} bytes, no table of labels")
            self.labels = parse_dataset_json(table.read_bytes(), self._names, str(table))

    def _list_files(self) -> list[str]:
        def refuse(error: OSError) -> None:
            raise InputError(f"{error.filename}: cannot list the folder: {error.strerror}")

        found = []
        for base, folders, files in os.walk(self.folder, onerror=refuse, followlinks=False):
            folders[:] = [name for name in folders if not name.startswith(".")]
            linked = [name for name in folders if Path(base, name).is_symlink()]
            for name in [*files, *linked]:
                path = Path(base, name).relative_to(self.folder).as_posix()
                if not name.startswith(".") and path != TABLE:
                    found.append(path)
        return found

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Return the path below the folder, in a form that text files can hold."""
        return make_printable(self._names[index])

    def read(self, index: int) -> bytes:
        """Return the file's bytes; see :meth:`ImportSource.read`."""
        path = self.folder / self._names[index]
        if path.is_dir():
            raise RejectionError("source", "linked_folder", "links to folders are not followed")
        return read_photo_file(path)[0]


def open_folder(request: ImportRequest) -> FolderSource:
    """Open a folder of images.

    Raises:
        InputError: If there is none, it holds no files, or its ``dataset.json`` does not fit.
    """
    return FolderSource(request.path, use_labels=request.use_labels is not False)
