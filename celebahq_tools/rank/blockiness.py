"""How strongly the 8x8 block grid of JPEG shows in a photograph, measured before anything else touches the pixels."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.align.quad import OrientedCrop
from celebahq_tools.errors import ShapeError
from celebahq_tools.types import Pixels, check_pixels

GRID = 8
# Two whole blocks and their neighbours: less gives no contrast between the phases of the grid.
MIN_SIDE = 2 * GRID + 2
# The middle of a large crop is measured: 128 blocks a side average what there is to average.
MAX_SIDE = 1024
# Lines are averaged over this many of their pixels, evenly spaced: more cost time and change nothing.
_SAMPLES = 512
# Steps of an edge of the picture count no more than this, in grey levels; JPEG's own are smaller.
_MAX_STEP = 16
# Grey levels, added to the neighbours' steps: flat areas would divide by next to nothing.
_FLOOR = 2.0
# A single line of the picture counts no more than the strongest lines of a grid.
_MAX_CONTRAST = 3.0
# The largest of eight means of pure chance lies 1.4 standard errors above theirs.
_LUCK = 1.4


def measure_blockiness(pixels: Pixels) -> float:
    """Return by how much steps of brightness are larger along the lines of an 8x8 grid than beside them.

    d(x) is the mean over rows of min(|luma(x + 1) - luma(x)|, 16); the contrast of a line is (d(x) - m) / (m + 2), at
    most 3, with m the mean of d(x - 1) and d(x + 1). Contrasts are averaged over lines of equal x modulo 8; the
    largest of the eight minus the mean of the five not next to it, minus what chance alone gives, is the blockiness
    of that direction, and the result is the mean of both directions. The grid may begin anywhere, as in a photograph
    that was cut after it was compressed. After any resizing nothing is left to measure.

    Args:
        pixels: (H, W, 3) uint8 RGB, a part of the photograph as it was decoded.
    Returns:
        About 0.00 to 0.02 for uncompressed photographs, 0.05 at JPEG quality 95, 0.25 at 70, 1 at 8; 0 for parts
        smaller than 18 pixels.
    Raises:
        ShapeError: If the pixels are something else.
    """
    check_pixels(pixels, "blockiness")
    height, width = pixels.shape[:2]
    top, left = max(height - MAX_SIDE, 0) // 2, max(width - MAX_SIDE, 0) // 2
    luma = cv2.cvtColor(pixels[top : top + MAX_SIDE, left : left + MAX_SIDE], cv2.COLOR_RGB2GRAY)
    return (
        _measure_columns(np.asarray(luma, np.uint8)) + _measure_columns(np.asarray(cv2.transpose(luma), np.uint8))
    ) / 2


def measure_crop_blockiness(photo: Pixels, crop: OrientedCrop) -> float:
    """Return the blockiness of the part of a photograph that a face is made of.

    Args:
        photo: (H, W, 3) uint8 RGB, as it was decoded.
        crop: In its coordinates; measured is the upright box around it, as far as it lies in the photograph.
    """
    left, top, right, bottom = crop.bounds()
    part = photo[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)]
    return measure_blockiness(part) if part.size else 0.0


def _measure_columns(luma: NDArray[np.uint8]) -> float:
    if luma.ndim != 2:
        raise ShapeError(f"blockiness: expected one channel, got {luma.shape}")
    if min(luma.shape) < MIN_SIDE:
        return 0.0
    luma = luma[:: max(len(luma) // _SAMPLES, 1)]
    steps = cv2.threshold(cv2.absdiff(luma[:, 1:], luma[:, :-1]), _MAX_STEP, 0, cv2.THRESH_TRUNC)[1]
    profile = cv2.reduce(steps, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0] / len(steps)
    beside = (profile[:-2] + profile[2:]) / 2
    contrast = np.minimum((profile[1:-1] - beside) / (beside + _FLOOR), _MAX_CONTRAST)
    lines = contrast[: len(contrast) // GRID * GRID].reshape(-1, GRID)
    phases = lines.mean(axis=0)
    strongest = int(np.argmax(phases))
    # A strong line lowers the contrast of its two neighbours.
    others = [(strongest + step) % GRID for step in range(2, GRID - 1)]
    scatter = float(lines[:, others].std()) / math.sqrt(len(lines))
    return max(float(phases[strongest] - phases[others].mean()) - _LUCK * scatter, 0.0)
