"""A sheet of pictures for the documentation: titles above the columns, an optional caption below each row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from celebahq_tools.pictures.canvas import write_caption
from celebahq_tools.types import Pixels

_LINE = 24


def save_sheet(
    titles: Sequence[str], rows: Sequence[Sequence[Pixels]], path: Path, *, side: int, captions: Sequence[str] = ()
) -> None:
    """Save pictures side by side, enlarged without smoothing where they are smaller than their place.

    Args:
        titles: One per column.
        rows: Square uint8 RGB pictures, one per column.
        path: File to write, of any format Pillow knows by its suffix.
        side: Pixels a picture takes.
        captions: One per row, or none.
    """
    height = side + (_LINE if captions else 0)
    sheet = Image.new("RGB", (side * len(titles), _LINE + height * len(rows)), "white")
    for column, title in enumerate(titles):
        write_caption(sheet, (column * side + 4, 5), title, size=13)
    for row, pictures in enumerate(rows):
        top = _LINE + row * height
        for column, pixels in enumerate(pictures):
            picture = Image.fromarray(np.ascontiguousarray(pixels)).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(picture, (column * side, top))
        if captions:
            write_caption(sheet, (4, top + side + 5), captions[row], size=13)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=90, optimize=True)
