"""Any folder of photographs: found recursively, in natural order, with landmarks from a file or to be detected."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.source.celeba import find_image_folder
from celebahq_tools.source.landmark_file import LandmarkRow, read_landmark_file
from celebahq_tools.types import SourceItem

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


def list_photos(folder: Path, *, all_faces: bool = False) -> list[SourceItem]:
    """Return one item per file below a folder, its landmarks to be detected.

    Every file is listed whatever its name: what is no photograph becomes a named rejection, so that none is lost
    silently. Hidden files and folders are passed over.

    Args:
        folder: The photographs, or CelebA's layout of them.
        all_faces: Leave room in the numbering for every face of a photograph; the item is its largest.
    Raises:
        InputError: If the folder is missing, cannot be listed, or holds no file.
    """
    images = choose_photo_folder(folder)
    names = list(_walk(images))
    if not names:
        raise InputError(f"{images}: no files in it")
    stride = MAX_FACES if all_faces else 1
    return [
        SourceItem(number * stride, _make_printable(name), images / name, None, face=0)
        for number, name in enumerate(names)
    ]


def list_photos_with_landmarks(folder: Path, landmark_file: Path) -> list[SourceItem]:
    """Return one item per landmark row, in the file's order, then one per photograph that no row names.

    Args:
        folder: The photographs; rows name them by their path below it, with ``/``.
        landmark_file: As :func:`celebahq_tools.source.landmark_file.read_landmark_file` takes it.
    Raises:
        InputError: If the folder or the landmark file cannot be used at all.
    """
    images = choose_photo_folder(folder)
    rows = read_landmark_file(landmark_file)
    names = list(_walk(images))
    present = set(names)
    named = {row.file for row in rows}
    missing = RejectionError("landmarks", "missing", "no row names it")
    rows += [LandmarkRow(name, None, missing) for name in names if name not in named]
    if not rows:
        raise InputError(f"{folder}: neither landmarks nor photographs in it")
    items = []
    for index, row in enumerate(rows):
        item = SourceItem(index, _make_printable(row.file), images / row.file, row.points, row.problem)
        if row.file not in present:
            # Also turns away names such as "../secret.jpg": only files below the folder are present.
            item = replace(item, problem=RejectionError("source", "missing_file", f"not in {images.name}/"))
        items.append(item)
    return items


def next_faces(item: SourceItem, found: int) -> list[SourceItem]:
    """Return the items of a photograph's other faces, once it is known how many it has.

    Args:
        item: The photograph's first face, of :func:`list_photos` with ``all_faces``.
        found: Faces in the photograph; those beyond :data:`MAX_FACES` are left out.
    """
    return [replace(item, index=item.index + face, face=face) for face in range(1, min(found, MAX_FACES))]


def sort_naturally(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """Return a sort key under which numbers in names count as numbers: ``a9.jpg`` before ``a10.jpg``.

    Names that differ only in leading zeros still have an order of their own.
    """
    parts = re.split(r"([0-9]+)", name.casefold())
    key: list[tuple[int, int | str]] = [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]
    return key, name


def _walk(root: Path) -> Iterator[str]:
    """Yield the files below a folder as paths with ``/``, in natural order, each folder once.

    Links to folders are followed, but a folder that was seen already is not entered again: a link to a parent, or
    two links to each other, end there.
    """
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
        folders = []
        for name in sorted(entries, key=sort_naturally):
            below = f"{folder}/{name}" if folder else name
            if (root / below).is_dir():
                folders.append(below)
            else:
                yield below
        pending += reversed(folders)


def _make_printable(name: str) -> str:
    # A name that is not valid unicode is still listed, in a form that text files can hold.
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
