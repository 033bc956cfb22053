"""Small drawing steps that the pictures share."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from celebahq_tools.atomic import write_atomically
from celebahq_tools.types import Pixels

BACKGROUND = (250, 250, 250)
INK = (30, 30, 30)
ACCENT = (220, 40, 60)


def fit_picture(pixels: Pixels, width: int, height: int) -> Image.Image:
    """Return the picture scaled to fit a box, its proportions kept."""
    image = Image.fromarray(pixels)
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)


def write_caption(canvas: Image.Image, position: tuple[int, int], text: str, *, size: int = 16) -> None:
    """Draw text with its top left corner at a position; the font comes with Pillow."""
    ImageDraw.Draw(canvas).text(position, text, fill=INK, font=ImageFont.load_default(size))


def save_picture(picture: Image.Image | Pixels, path: Path) -> None:
    """Save a PNG that is whole or absent.

    Args:
        picture: An image, or its uint8 pixels (H, W, 3) or (H, W, 1).
        path: File to write; an existing one is replaced.
    Raises:
        OSError: If the folder cannot be written.
    """
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    with write_atomically(path) as temporary:
        picture.save(temporary, format="PNG")
