"""CelebA's aligned 178x218 images, cut to 128x128 around (89, 121): the data of the paper's Table 1."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.source.importers.base import ImportRequest
from celebahq_tools.source.importers.files import FolderSource

WIDTH, HEIGHT, SIDE = 178, 218, 128
CENTRE_X, CENTRE_Y = 89, 121
_FOLDERS = ("img_align_celeba", "Img/img_align_celeba", "img_align_celeba/img_align_celeba")
_ATTRIBUTES = tuple(f"{folder}list_attr_celeba.{kind}" for folder in ("Anno/", "") for kind in ("txt", "csv"))


class CelebaAlignedSource(FolderSource):
    """The images of ``img_align_celeba``, cut; the 40 attributes are labels of 0 and 1 if their file is there."""

    def __init__(self, folder: Path, *, use_labels: bool) -> None:
        images = next((folder / name for name in _FOLDERS if (folder / name).is_dir()), folder)
        super().__init__(images, use_labels=False)
        table = next((folder / name for name in _ATTRIBUTES if (folder / name).is_file()), None)
        if use_labels and table is not None:
            names, rows = read_attributes(table)
            unlisted = [name for name in self._names if name not in rows]
            if unlisted:
                raise InputError(
                    f"{table}: no row for {len(unlisted)} images, {unlisted[0]} among them; "
                    "complete it or pass --no-labels"
                )
            self.labels = np.stack([rows[name] for name in self._names])
            self.label_names = names

    def decode(self, raw: bytes) -> NDArray[np.uint8]:
        """Return the middle 128x128 pixels; see :meth:`ImportSource.decode`."""
        pixels = super().decode(raw)
        height, width = pixels.shape[:2]
        if (height, width) != (HEIGHT, WIDTH):
            raise RejectionError("size", "not_aligned_celeba", f"{width}x{height} instead of {WIDTH}x{HEIGHT}")
        top, left = CENTRE_Y - SIDE // 2, CENTRE_X - SIDE // 2
        return pixels[top : top + SIDE, left : left + SIDE]


def read_attributes(path: Path) -> tuple[tuple[str, ...], dict[str, NDArray[np.float32]]]:
    """Return the names of the attributes, and per file a row of 0 (CelebA's -1) and 1.

    Args:
        path: CelebA's ``list_attr_celeba.txt`` (a count, a line of names, a line per file) or its CSV form.
    Raises:
        InputError: If it is neither, or a row has another number of values or other values than -1, 0 and 1.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    cells = list(csv.reader(lines)) if "," in "".join(lines[:1]) else [line.split() for line in lines]
    is_csv = len(cells) > 0 and len(cells[0]) > 1
    head = 0 if is_csv else 1
    if len(cells) <= head:
        raise InputError(f"{path}: not a list of attributes")
    names = tuple(cells[head][1:] if is_csv else cells[head])
    rows = {}
    for number, line in enumerate(cells[head + 1 :], start=head + 2):
        if not line:
            continue
        if len(line) != len(names) + 1 or not set(line[1:]) <= {"-1", "0", "1"}:
            raise InputError(f"{path}:{number}: expected a file name and {len(names)} values of -1 and 1")
        rows[line[0]] = np.array([value == "1" for value in line[1:]], np.float32)
    return names, rows


def open_celeba_aligned(request: ImportRequest) -> CelebaAlignedSource:
    """Open CelebA's aligned images.

    Raises:
        InputError: If the folder holds none, or its attributes do not fit.
    """
    return CelebaAlignedSource(request.path, use_labels=request.use_labels is not False)
