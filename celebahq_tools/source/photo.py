"""Open one photograph safely: only plain 8-bit RGB pixels pass, everything else is rejected by name."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from celebahq_tools.errors import RejectionError
from celebahq_tools.types import Pixels

# CelebA's largest photograph has 60.5 megapixels.
MAX_PIXELS = 100_000_000
MAX_BYTES = 512 * 2**20
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
EXIF_ORIENTATION = 0x0112
_UPRIGHT = (None, 0, 1)
# From stored to upright pixels, by EXIF orientation (Exif 2.32, section 4.6.4 A).
_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    3: lambda pixels: np.ascontiguousarray(pixels[::-1, ::-1]),
    4: lambda pixels: np.ascontiguousarray(pixels[::-1]),
    5: lambda pixels: np.ascontiguousarray(pixels.transpose(1, 0, 2)),
    6: lambda pixels: np.ascontiguousarray(pixels[::-1].transpose(1, 0, 2)),
    7: lambda pixels: np.ascontiguousarray(pixels[::-1, ::-1].transpose(1, 0, 2)),
    8: lambda pixels: np.ascontiguousarray(pixels[:, ::-1].transpose(1, 0, 2)),
}
_MODE_REASONS = {
    "1": "grey",
    "L": "grey",
    "LA": "alpha",
    "RGBA": "alpha",
    "PA": "alpha",
    "P": "palette",
    "CMYK": "cmyk",
    "I": "bits16",
    "F": "bits16",
    "I;16": "bits16",
    "I;16B": "bits16",
    "I;16L": "bits16",
}


def read_photo_file(path: Path) -> tuple[bytes, str]:
    """Return the bytes of a photograph's file and their sha256 in hex.

    Raises:
        RejectionError: If it is not a readable regular file, is empty, or is over :data:`MAX_BYTES`.
    """
    try:
        if not path.is_file():
            raise RejectionError("decode", "not_a_file")
        size = path.stat().st_size
        if size == 0:
            raise RejectionError("decode", "empty", "zero bytes")
        if size > MAX_BYTES:
            raise RejectionError("decode", "huge", f"{size} bytes, the limit is {MAX_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise RejectionError("decode", "unreadable", error.strerror or str(error)) from None
    return data, hashlib.sha256(data).hexdigest()


def decode_photo(data: bytes, *, upright: bool = False) -> Pixels:
    """Return the pixels of an 8-bit RGB photograph.

    Photographs that are grey, palette, CMYK, 16-bit, with alpha, animated or rotated by EXIF are rejected rather than
    converted: landmarks are given in stored pixels, and a converted picture would differ from its neighbours in
    ways that a GAN learns.

    Args:
        data: Contents of the file.
        upright: Turn a photograph as its EXIF orientation says instead of rejecting it. Turning changes no pixel; only
            landmarks that were given for it would be ambiguous.
    Returns:
        (H, W, 3) uint8 RGB.
    Raises:
        RejectionError: With stage ``decode`` and the reason.
    """
    with open_image(data) as image:
        orientation = _check_header(image, upright)
        image.load()
        return _TURNS[orientation](np.array(image, dtype=np.uint8))


@contextmanager
def open_image(data: bytes) -> Iterator[ImageFile.ImageFile]:
    """Yield an image file, its header read and its pixels not yet; what goes wrong in the block becomes a rejection.

    Args:
        data: Contents of the file.
    Raises:
        RejectionError: With stage ``decode`` and the reason.
    """
    if not data:
        raise RejectionError("decode", "empty", "zero bytes")
    try:
        with warnings.catch_warnings():
            # Callers check the size, before any pixel is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                yield image
    except RejectionError:
        raise
    except UnidentifiedImageError:
        raise RejectionError("decode", "not_an_image") from None
    except Image.DecompressionBombError as error:
        raise RejectionError("decode", "huge", str(error)) from None
    except MemoryError:
        raise RejectionError("decode", "huge", "does not fit in memory") from None
    except Exception as error:
        # Decoders of damaged files raise almost anything: OSError, SyntaxError, struct.error, ZeroDivisionError.
        reason = "truncated" if "truncated" in str(error) else "damaged"
        raise RejectionError("decode", reason, f"{type(error).__name__}: {error}") from None


def check_landmarks(landmarks: NDArray[np.float32], width: int, height: int) -> None:
    """Reject landmarks that cannot belong to the photograph.

    CelebA has faces cut by the border, whose points lie a little outside; half a side is the limit.

    Args:
        landmarks: (5, 2) in pixels.
        width, height: Size of the photograph in pixels.
    Raises:
        RejectionError: With stage ``landmarks`` and reason ``outside`` or ``degenerate``.
    """
    size = np.array([width, height], dtype=np.float32)
    if ((landmarks < -0.5 * size) | (landmarks > 1.5 * size)).any():
        raise RejectionError("landmarks", "outside", f"more than half a side outside the {width}x{height} photograph")
    eyes, mouth = landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0)
    spread = max(float(np.hypot(*(landmarks[1] - landmarks[0]))), float(np.hypot(*(mouth - eyes))))
    if spread < 1.0:
        raise RejectionError("landmarks", "degenerate", "eyes and mouth lie within one pixel")


def check_extent(image: ImageFile.ImageFile) -> None:
    """Reject an image file of too many pixels or of several frames.

    Of a multi-picture file (CIPA DC-007), a JPEG as many phones write it, the first is the photograph: what follows is
    a depth map, or the same smaller or from the other eye.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise RejectionError("decode", "huge", f"{width}x{height} pixels, the limit is {MAX_PIXELS}")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise RejectionError("decode", "animated", f"{getattr(image, 'n_frames', 0)} frames")


def _check_header(image: ImageFile.ImageFile, upright: bool) -> int:
    """Reject what cannot be used; return the EXIF orientation, 1 if the stored pixels are upright."""
    check_extent(image)
    if image.mode != "RGB":
        raise RejectionError("decode", _MODE_REASONS.get(image.mode, "not_rgb"), f"mode {image.mode}")
    if any(";16" in str(tile[3]) for tile in image.tile):
        # Pillow would silently drop the low byte of 16-bit RGB.
        raise RejectionError("decode", "bits16", "16 bits a channel")
    if "transparency" in image.info:
        raise RejectionError("decode", "alpha", "a transparent colour")
    orientation = image.getexif().get(EXIF_ORIENTATION)
    if orientation in _UPRIGHT:
        return 1
    if not upright or orientation not in _TURNS:
        raise RejectionError("decode", "exif_rotated", f"orientation {orientation}; rotate the pixels and landmarks")
    return int(orientation)
