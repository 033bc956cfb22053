"""Decode image files of ready-made sets: what has one meaning in 8-bit grey or RGB is taken, the rest is named."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from celebahq_tools.errors import RejectionError
from celebahq_tools.source.photo import EXIF_ORIENTATION, check_extent, open_image

_GREY = {"L", "1"}
_ALPHA = {"RGBA", "LA", "PA", "La", "RGBa"}
_GREY_ALPHA = {"LA", "La"}
# EXIF orientations that exchange width and height.
_LYING = {5, 6, 7, 8}
_DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def decode_any(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of an image file.

    Grey stays grey. Bilevel becomes grey 0 and 255, palettes their colours, an alpha channel that is opaque everywhere
    is dropped, and EXIF orientation is applied: none of these loses anything. What would need a decision (true
    transparency, CMYK, more than 8 bits, animation) is rejected.

    Args:
        data: Contents of the file.
    Returns:
        (H, W, 1) or (H, W, 3) uint8.
    Raises:
        RejectionError: With stage ``decode`` and the reason.
    """
    with open_image(data) as image:
        _check_header(image)
        image.load()
        pixels = np.array(_make_plain(ImageOps.exif_transpose(image)), dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def spread_grey(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (..., 3, H, W) of images with one channel or three, grey ones with three equal channels."""
    shape = (*planes.shape[:-3], 3, *planes.shape[-2:])
    return np.ascontiguousarray(planes if planes.shape == shape else np.broadcast_to(planes, shape))


def read_shape(data: bytes) -> tuple[int, int, int]:
    """Return (H, W, C) of what :func:`decode_any` would make of an image file, whose beginning mostly suffices.

    Raises:
        RejectionError: If it shows before any pixel is decoded that the image cannot be used, or if the beginning is
            too short.
    """
    with open_image(data) as image:
        _check_header(image)
        # Of a PNG without EXIF before its pixels, Pillow decodes the pixels to look behind them.
        told = image.format != "PNG" or "exif" in image.info
        lies = told and image.getexif().get(EXIF_ORIENTATION) in _LYING
        height, width = (image.width, image.height) if lies else (image.height, image.width)
        return height, width, 1 if image.mode in _GREY | _GREY_ALPHA else 3


def _check_header(image: ImageFile.ImageFile) -> None:
    check_extent(image)
    # Pillow would silently drop the low byte of 16-bit RGB.
    if image.mode in _DEEP or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        raise RejectionError("decode", "bits16", f"mode {image.mode}, more than 8 bits a channel")
    if image.mode not in {*_GREY, *_ALPHA, "RGB", "P"}:
        reason = "cmyk" if image.mode == "CMYK" else "not_rgb"
        raise RejectionError("decode", reason, f"mode {image.mode}")


def _make_plain(image: Image.Image) -> Image.Image:
    """Return an image of mode L or RGB with the same pixels."""
    if image.mode in _ALPHA or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        if with_alpha.getchannel("A").getextrema()[0] != 255:
            raise RejectionError("decode", "alpha", "has transparent pixels; flatten it first")
        grey = image.mode in _GREY | _GREY_ALPHA
        return with_alpha.convert("RGB").getchannel(0) if grey else with_alpha.convert("RGB")
    return image.convert("L") if image.mode in _GREY else image.convert("RGB")
