"""Thumbnails packed into a few pictures: tens of thousands of faces in a file that opens at once."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from celebahq_tools.pages.images import encode_picture
from celebahq_tools.types import Pixels

COLUMNS = 16
PER_SHEET = COLUMNS * COLUMNS
# (faces up to which it holds, side in pixels, WebP quality): measured so that 30,000 faces stay below 30 MB.
_SIZES = ((1_000, 128, 80), (5_000, 96, 72), (12_000, 72, 66), (40_000, 56, 55), (2**62, 40, 45))


@dataclass(frozen=True)
class SpriteSize:
    """How thumbnails are packed.

    Attributes:
        side: Of a thumbnail in pixels.
        quality: Of WebP.
    """

    side: int
    quality: int


def choose_sprite_size(count: int) -> SpriteSize:
    """Return how large thumbnails may be when there are ``count``."""
    return next(SpriteSize(side, quality) for limit, side, quality in _SIZES if count <= limit)


def pack_sprites(count: int, read: Callable[[int], Pixels | None], size: SpriteSize) -> Iterator[tuple[str, str, int]]:
    """Yield sheets of thumbnails, row by row from the top left.

    Args:
        count: Number of faces.
        read: Returns the face of a number in ``range(count)``; None leaves its place empty.
        size: As of :func:`choose_sprite_size`.
    Yields:
        (name, WebP sheet as base64, faces done so far); the sheet of face n is ``sprite-{n // PER_SHEET}``.
    """
    for start in range(0, count, PER_SHEET):
        stop = min(start + PER_SHEET, count)
        rows = -(-(stop - start) // COLUMNS)
        sheet = np.full((rows * size.side, COLUMNS * size.side, 3), 128, np.uint8)
        for number in range(start, stop):
            pixels = read(number)
            if pixels is None:
                continue
            row, column = divmod(number - start, COLUMNS)
            top, left = row * size.side, column * size.side
            sheet[top : top + size.side, left : left + size.side] = shrink_face(pixels, size.side)
        data = encode_picture(sheet, encoding="WEBP", quality=size.quality)
        yield f"sprite-{start // PER_SHEET}", base64.b64encode(data).decode("ascii"), stop


def shrink_face(pixels: Pixels, side: int) -> Pixels:
    """Return a square face at another size, by area when it shrinks."""
    import cv2

    if pixels.shape[0] == side:
        return pixels
    method = cv2.INTER_AREA if pixels.shape[0] > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=method), dtype=np.uint8)
