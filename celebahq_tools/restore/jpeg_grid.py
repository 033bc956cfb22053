"""Finds the 8x8 grid of the JPEG that an image was cut out of, from its pixels alone.

A photograph starts on its own grid, but a region cut out of one starts anywhere, and so does a photograph that was
cropped after it was compressed. Nets for JPEG removal that see pixels in groups know the grid only where training
showed it to them: on held-out photographs one of them gains 2.4 dB on the grid and 0.8 dB off it
(docs/restoration.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from celebahq_tools.types import Pixels

BLOCK = 8
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

# Coefficients that quantization set to zero come back smaller than this: colours were rounded to whole levels since.
_ZERO = 0.6
# Low frequencies are zero in flat places whatever the grid.
_LEAST_ORDER = 3
# Blocks looked at; more make the answer surer, not better.
_MAX_BLOCKS = 400
_MIN_BLOCKS = 9
# The grid stands out if its share of zeros exceeds the typical place's by so many points and so many deviations.
_LEAST_EXCESS = 0.02
_LEAST_DEVIATIONS = 4.0

_Floats = npt.NDArray[np.float32]


def find_jpeg_grid(pixels: Pixels) -> tuple[int, int] | None:
    """Return the row and column, 0 to 7, at which blocks start, or None where no grid shows.

    Every one of the 64 places is tried: on the right one, more high-frequency DCT coefficients of the luma are zero
    than on any other, because quantization made them so.

    Args:
        pixels: RGB, uint8, shape (H, W, 3), any size; below about 32 pixels a side nothing is found.
    """
    luma = np.asarray(pixels, np.float32) @ _LUMA
    rows, columns = ((length - BLOCK + 1) // BLOCK for length in luma.shape)
    if rows * columns < _MIN_BLOCKS or min(rows, columns) < 1:
        return None
    shares = np.array([[_share_of_zeros(luma[top:, left:], rows, columns) for left in range(8)] for top in range(8)])
    best = np.unravel_index(int(np.argmax(shares)), shares.shape)
    # Places in line with the grid in one direction share part of its zeros; those in neither say what is usual.
    others = np.delete(np.delete(shares, best[0], axis=0), best[1], axis=1)
    excess = float(shares[best] - np.median(others))
    spread = float(1.4826 * np.median(np.abs(others - np.median(others))))
    if excess < max(_LEAST_EXCESS, _LEAST_DEVIATIONS * spread):
        return None
    return int(best[0]), int(best[1])


def move_to_grid(pixels: Pixels) -> tuple[Pixels, int, int]:
    """Return an image mirrored at its top and left edges until its JPEG grid starts there.

    Returns:
        The image, and the rows and columns added; the image itself and zeros where no grid shows.
    """
    grid = find_jpeg_grid(pixels)
    if grid is None or grid == (0, 0):
        return pixels, 0, 0
    top, left = (-start % BLOCK for start in grid)
    return np.pad(pixels, ((top, 0), (left, 0), (0, 0)), mode="reflect"), top, left


def _share_of_zeros(luma: _Floats, rows: int, columns: int) -> float:
    """Return the share of high-frequency coefficients near zero, with blocks starting at the first pixel."""
    blocks = luma[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3)
    flat = blocks.reshape(-1, BLOCK, BLOCK)
    step = -(-len(flat) // _MAX_BLOCKS)
    coefficients = dct(dct(flat[::step], axis=1, norm="ortho"), axis=2, norm="ortho")
    order = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
    return float(np.mean(np.abs(coefficients[:, order >= _LEAST_ORDER]) < _ZERO))
