"""Light and dark seams along edges: what sharpening adds, and no lens does."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.rank.rings import Float32Array

# Every eighth row and column is looked at.
_STEP = 8
# An edge is a step of more than this over two pixels, in grey levels.
_MIN_STEP = 24
# Pixels beyond the edge: where a seam would be, and where the plateau is that it rises above.
_SEAM, _NEAR, _MIDDLE, _FAR = 2, 5, 7, 10
_MARGIN = _FAR + 2
# The plateau is one if it varies by no more than this part of the step.
_FLATNESS = 8
# More than half a step is no seam but another thing: a line, a hair.
_MAX_SEAM = 0.5
# So many edges without a seam are added: a few edges say little, none say nothing.
_PRIOR_EDGES = 100


def measure_halo(luma: Float32Array) -> float:
    """Return by how much brightness overshoots next to edges that end in a plateau, relative to the edges' steps.

    Rows and columns are searched for steps of brightness with a plateau 5 to 10 pixels beyond them; the mean over
    all of (brightness 2 pixels beyond the edge - plateau) / step is returned. Along a blurred edge the brightness is
    still on its way 2 pixels beyond: negative. Sharpening leaves it above: positive.

    Args:
        luma: (H, W) float32 in grey levels.
    Returns:
        -0.1 to 0.07 for photographs, up to 0.2 after strong sharpening; nearer to 0 the fewer edges there are.
    """
    total, count = 0.0, 0
    for lines in (luma[::_STEP], cv2.transpose(np.ascontiguousarray(luma[:, ::_STEP]))):
        part = _measure_lines(np.asarray(cv2.convertScaleAbs(np.asarray(lines)), np.uint8))  # rounded
        total, count = total + part[0], count + part[1]
    return total / (count + _PRIOR_EDGES)


def _measure_lines(lines: NDArray[np.uint8]) -> tuple[float, int]:
    """Return the sum of the seams of all edges in the rows of a picture, and their number."""
    width = lines.shape[1]
    if width <= 2 * _MARGIN:
        return 0.0, 0
    inner = slice(_MARGIN, width - _MARGIN)
    steps = cv2.absdiff(lines[:, 2:], lines[:, :-2])[:, inner.start - 1 : inner.stop - 1]
    row, column = np.nonzero(steps > _MIN_STEP)
    place = row * width + column + _MARGIN
    levels = lines.ravel().astype(np.int16)
    step = levels[place + 1] - levels[place - 1]
    limit = np.abs(step)
    total, count = 0.0, 0
    for side in (1, -1):
        near, middle, far = (levels[place + side * reach] for reach in (_NEAR, _MIDDLE, _FAR))
        plateau = (_FLATNESS * np.abs(near - far) < limit) & (_FLATNESS * np.abs(near - middle) < limit)
        beyond = 2 * levels[place[plateau] + side * _SEAM] - near[plateau] - far[plateau]
        seam = beyond / (2.0 * side * step[plateau])
        seam = seam[np.abs(seam) < _MAX_SEAM]
        total, count = total + float(seam.sum()), count + len(seam)
    return total, count
