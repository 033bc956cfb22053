"""Pictures inside a page, as data URIs."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from celebahq_tools.errors import InputError
from celebahq_tools.pictures.canvas import fit_picture
from celebahq_tools.types import Pixels

Format = Literal["JPEG", "WEBP", "PNG"]
_MIME = {"JPEG": "image/jpeg", "WEBP": "image/webp", "PNG": "image/png"}
_FILES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}


def encode_picture(
    picture: Image.Image | Pixels, *, side: int | None = None, encoding: Format = "JPEG", quality: int = 85
) -> bytes:
    """Return a picture as the bytes of a file.

    Args:
        picture: An image, or its uint8 pixels (H, W, 3) or (H, W, 1).
        side: Longest side in pixels; a larger picture is reduced, a smaller one kept.
        encoding: PNG keeps every pixel; JPEG and WEBP are small.
        quality: Of JPEG and WEBP, 1 to 95.
    """
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    if side is not None and max(picture.size) > side:
        picture = fit_picture(np.asarray(picture), side, side)
    stream = io.BytesIO()
    options = {"optimize": True} if encoding == "PNG" else {"quality": quality}
    picture.save(stream, encoding, **options)
    return stream.getvalue()


def make_data_uri(data: bytes, mime: str) -> str:
    """Return bytes as a ``data:`` address."""
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


def embed_picture(
    picture: Image.Image | Pixels, *, side: int | None = None, encoding: Format = "JPEG", quality: int = 85
) -> str:
    """Return a picture as a ``data:`` address; arguments as for :func:`encode_picture`."""
    return make_data_uri(encode_picture(picture, side=side, encoding=encoding, quality=quality), _MIME[encoding])


def embed_file(path: Path) -> str:
    """Return a picture or video file as a ``data:`` address, byte for byte.

    Raises:
        InputError: If the file cannot be read, or its ending is not that of a picture or video.
    """
    mime = _FILES.get(path.suffix.lower())
    if mime is None:
        raise InputError(f"{path}: not a picture or video for a page; known endings: {', '.join(_FILES)}")
    try:
        return make_data_uri(path.read_bytes(), mime)
    except OSError as error:
        raise InputError(f"{path}: cannot read it: {error.strerror}") from None
