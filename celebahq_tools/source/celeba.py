"""CelebA's in-the-wild folder: which photographs there are and where their landmarks stand."""

from __future__ import annotations

import os
from pathlib import Path

from celebahq_tools.errors import InputError
from celebahq_tools.source.item_table import ItemTable, match_rows
from celebahq_tools.source.landmark_file import iterate_landmark_file

_IMAGE_FOLDERS = ("img_celeba", "Img/img_celeba")
_LANDMARK_FILES = (
    "Anno/list_landmarks_celeba.txt",
    "list_landmarks_celeba.txt",
    "Anno/list_landmarks_celeba.csv",
    "list_landmarks_celeba.csv",
    "Anno/list_landmarks_align_celeba.csv",
    "list_landmarks_align_celeba.csv",
)


def find_landmark_file(folder: Path) -> Path:
    """Return the landmark file of a CelebA folder.

    Raises:
        InputError: If the folder is missing or holds none of the known names.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; pass the folder that holds img_celeba/ and Anno/")
    for name in _LANDMARK_FILES:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{folder}: no landmark file; expected {_LANDMARK_FILES[0]} or its CSV form, or pass --landmarks FILE"
    )


def find_image_folder(folder: Path) -> Path:
    """Return the folder of in-the-wild photographs of a CelebA folder.

    Raises:
        InputError: If there is none or it cannot be listed.
    """
    for name in _IMAGE_FOLDERS:
        if (folder / name).is_dir():
            return folder / name
    raise InputError(f"{folder}: no {_IMAGE_FOLDERS[0]}/ folder with the in-the-wild photographs")


def list_celeba(folder: Path, landmark_file: Path | None = None) -> ItemTable:
    """Return one item per photograph or landmark row, in the order of the landmark file.

    An item's index is the row number, so that it equals the official ``orig_idx``. Files in the image folder that no
    row names come last, in name order. Rows whose file is missing and files without a row carry the problem.

    Args:
        folder: CelebA's folder, with ``img_celeba/`` and ``Anno/``.
        landmark_file: Landmarks to use instead of the folder's own.
    Raises:
        InputError: If the folder or its landmark file cannot be used at all.
    """
    rows = iterate_landmark_file(landmark_file or find_landmark_file(folder))
    images = find_image_folder(folder)
    try:
        present = sorted(entry.name for entry in os.scandir(images) if entry.name[0] != ".")
    except OSError as error:
        raise InputError(f"{images}: cannot list the folder: {error.strerror}") from None
    items = ItemTable(images, match_rows(rows, present, images.name))
    if not items:
        raise InputError(f"{folder}: neither landmarks nor photographs in it")
    return items
