"""The original's multi-resolution layout: one dataset per power-of-two level, NCHW uint8, and how levels are made."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ShapeError

# What the file says of itself, as the original's does; streams made elsewhere may be of any level (streams.py).
GZIP_LEVEL = 4
HDF5_SUFFIXES = (".h5", ".hdf5")
"""How names of datasets end."""
_MIN_CHUNK_BYTES = 128
# So many levels down the sum of a block fits 16 bits (255 * 4**4 < 2**16): quick integers equal the floats there.
_EXACT_LEVELS = 4


def list_levels(height: int, width: int) -> list[tuple[int, int]]:
    """Return the (height, width) of every level, largest first; the last has a side of odd length or 1.

    Args:
        height, width: Full resolution in pixels; 1024x1024 gives the 11 levels 1024 ... 1.
    Raises:
        ShapeError: If a side is not positive.
    """
    if height < 1 or width < 1:
        raise ShapeError(f"a dataset needs positive sides, got {height}x{width}")
    levels = [(height, width)]
    while height % 2 == 0 and width % 2 == 0:
        height, width = height // 2, width // 2
        levels.append((height, width))
    return levels


def name_level(height: int, width: int) -> str:
    """Return the HDF5 name of a level; the original writes ``data1024x1024``."""
    return f"data{width}x{height}"


def choose_chunk(channels: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the chunk shape of a level: one image, or as many as fill 128 bytes in the tiny levels."""
    return (math.ceil(_MIN_CHUNK_BYTES / (channels * height * width)), channels, height, width)


def compute_mips(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return every level of one image, largest first.

    Each level is the 2x2 mean of the one above, cascaded in float32 without rounding; only what is stored is rounded.
    Where float32 holds every mean exactly, integers do the same work.

    Args:
        pixels: (H, W, C) uint8.
    Returns:
        Arrays (C, h, w) uint8, one per entry of :func:`list_levels`.
    Raises:
        ShapeError: If the image is not (H, W, C) uint8.
    """
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise ShapeError(f"expected (H, W, C) uint8 pixels, got {pixels.shape} {pixels.dtype}")
    import cv2

    levels = list_levels(*pixels.shape[:2])
    # cv2 splits channels some ten times faster than a transposed copy.
    full: NDArray[np.uint8] = np.stack([np.asarray(plane, np.uint8) for plane in cv2.split(pixels)])
    mips = [full]
    sums = full.astype(np.uint16)
    for level in range(1, min(_EXACT_LEVELS, len(levels) - 1) + 1):
        rows = sums[:, 0::2] + sums[:, 1::2]
        sums = rows[:, :, 0::2] + rows[:, :, 1::2]
        mips.append(_round_means(sums, bits=2 * level))
    current = sums.astype(np.float32) / np.float32(4 ** (len(mips) - 1))
    for _ in levels[len(mips) :]:
        current = (
            current[:, 0::2, 0::2] + current[:, 0::2, 1::2] + current[:, 1::2, 0::2] + current[:, 1::2, 1::2]
        ) * np.float32(0.25)
        mips.append(np.rint(current).clip(0, 255).astype(np.uint8))
    return mips


def _round_means(sums: NDArray[np.uint16], *, bits: int) -> NDArray[np.uint8]:
    """Return sums / 2**bits rounded to the nearest, halves to the even one, as np.rint does."""
    odd = (sums >> np.uint16(bits)) & np.uint16(1)
    return ((sums + np.uint16((1 << (bits - 1)) - 1) + odd) >> np.uint16(bits)).astype(np.uint8)
