"""Many faces on one sheet, in the order of their scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from PIL import Image

from celebahq_tools.errors import InputError
from celebahq_tools.pictures.canvas import BACKGROUND, fit_picture, write_caption
from celebahq_tools.source.decoding import spread_grey
from celebahq_tools.store.manifest import KeptRow, manifest_path, read_kept
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.types import Pixels

_MARGIN = 6
_CAPTION = 20


def draw_contact_sheet(faces: Iterable[tuple[Pixels, str]], *, columns: int, thumb: int) -> Image.Image:
    """Return a sheet of captioned thumbnails, row by row.

    Args:
        faces: Pictures (H, W, 3) uint8 with their captions.
        columns: Thumbnails in a row.
        thumb: Side of a thumbnail in pixels.
    Raises:
        InputError: If there is no face to draw.
    """
    cells = [(fit_picture(pixels, thumb, thumb), caption) for pixels, caption in faces]
    if not cells:
        raise InputError("no faces to draw")
    columns = min(columns, len(cells))
    step_x, step_y = thumb + _MARGIN, thumb + _MARGIN + _CAPTION
    rows = math.ceil(len(cells) / columns)
    sheet = Image.new("RGB", (columns * step_x + _MARGIN, rows * step_y + _MARGIN), BACKGROUND)
    for number, (image, caption) in enumerate(cells):
        left = _MARGIN + (number % columns) * step_x
        top = _MARGIN + (number // columns) * step_y
        sheet.paste(image, (left, top))
        write_caption(sheet, (left, top + thumb + 2), caption, size=12)
    return sheet


def draw_dataset_sheet(reader: DatasetReader, *, count: int, columns: int, thumb: int) -> Image.Image:
    """Return a sheet of a dataset's faces from the best score down, with score and file name.

    Args:
        reader: The open dataset; its manifest stands beside it.
        count: How many faces; spread evenly over the order when the dataset has more.
        columns: Thumbnails in a row.
        thumb: Side of a thumbnail in pixels.
    Raises:
        StoreError: If the manifest is missing, damaged, or does not fit.
    """
    rows = read_kept(manifest_path(reader.path), len(reader))
    # Imported images have no score, and keep their order.
    rows.sort(key=lambda row: (-row.score if math.isfinite(row.score) else math.inf, row.index))
    chosen = _spread(rows, count)
    height = min((shape[1] for shape in reader.shapes if shape[1] >= thumb), default=reader.shapes[0][1])
    faces = (
        (
            spread_grey(reader.read(row.position, height=height)).transpose(1, 2, 0),
            row.file[:24] if math.isnan(row.score) else f"{row.score:.3f}  {row.file[:24]}",
        )
        for row in chosen
    )
    return draw_contact_sheet(faces, columns=columns, thumb=thumb)


def _spread(rows: Sequence[KeptRow], count: int) -> list[KeptRow]:
    if len(rows) <= count:
        return list(rows)
    return [rows[round(position * (len(rows) - 1) / max(1, count - 1))] for position in range(count)]
