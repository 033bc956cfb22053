"""Any folder of photographs: found recursively, in natural order, with landmarks from a file or to be detected."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from celebahq_tools.errors import InputError
from celebahq_tools.source.celeba import find_image_folder
from celebahq_tools.source.item_table import ItemTable, match_rows
from celebahq_tools.source.landmark_file import LandmarkRow, iterate_landmark_file

# Faces of one photograph take consecutive indices when all are wanted: photograph n has n * 100 ... n * 100 + 99.
MAX_FACES = 100


def choose_photo_folder(folder: Path) -> Path:
    """Return where the photographs of a folder lie: CelebA's image folder if there is one, else the folder itself.

    Raises:
        InputError: If the folder is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; pass the folder that holds the photographs")
    try:
        return find_image_folder(folder)
    except InputError:
        return folder


def list_photos(folder: Path, *, all_faces: bool = False, outputs: Iterable[Path] = ()) -> ItemTable:
    """Return one item per file below a folder, its landmarks to be detected.

    Every file is listed whatever its name: what is no photograph becomes a named rejection, so that none is lost
    silently. Hidden files and folders are passed over.

    Args:
        folder: The photographs, or CelebA's layout of them.
        all_faces: Leave room in the numbering for every face of a photograph; the item is its largest.
        outputs: Files and folders that are no photographs wherever they lie.
    Raises:
        InputError: If the folder is missing, cannot be listed, or holds no file.
    """
    images = choose_photo_folder(folder)
    rows = (LandmarkRow(name, None) for name in _walk(images, outputs))
    items = ItemTable(images, rows, detected=True, most_faces=MAX_FACES if all_faces else 1)
    if not items:
        raise InputError(f"{images}: no files in it")
    return items


def list_photos_with_landmarks(folder: Path, landmark_file: Path, *, outputs: Iterable[Path] = ()) -> ItemTable:
    """Return one item per landmark row, in the file's order, then one per photograph that no row names.

    Args:
        folder: The photographs; rows name them by their path below it, with ``/``.
        landmark_file: As :func:`celebahq_tools.source.landmark_file.iterate_landmark_file` takes it.
        outputs: Files and folders that are no photographs wherever they lie.
    Raises:
        InputError: If the folder or the landmark file cannot be used at all.
    """
    images = choose_photo_folder(folder)
    items = ItemTable(images, match_rows(iterate_landmark_file(landmark_file), _walk(images, outputs), images.name))
    if not items:
        raise InputError(f"{folder}: neither landmarks nor photographs in it")
    return items


def sort_naturally(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """Return a sort key under which numbers in names count as numbers: ``a9.jpg`` before ``a10.jpg``.

    Names that differ only in leading zeros still have an order of their own.
    """
    parts = re.split(r"([0-9]+)", name.casefold())
    key: list[tuple[int, int | str]] = [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]
    return key, name


def _walk(root: Path, outputs: Iterable[Path]) -> Iterator[str]:
    """Yield the files below a folder as paths with ``/``, in natural order, each folder once.

    Links to folders are followed, but a folder that was seen already is not entered again: a link to a parent, or
    two links to each other, end there.
    """
    ours = {(path.parent.resolve(), path.name) for path in outputs}
    homes = {home for home, _ in ours}
    seen: set[tuple[int, int]] = set()
    pending = [""]
    while pending:
        folder = pending.pop()
        path = root / folder
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = [entry.name for entry in os.scandir(path) if not entry.name.startswith(".")]
        except OSError as error:
            raise InputError(f"{path}: cannot list the folder: {error.strerror}") from None
        home = path.resolve()
        if home in homes:
            entries = [name for name in entries if (home, name) not in ours]
        folders = []
        for name in sorted(entries, key=sort_naturally):
            below = f"{folder}/{name}" if folder else name
            if (root / below).is_dir():
                folders.append(below)
            else:
                yield below
        pending += reversed(folders)
