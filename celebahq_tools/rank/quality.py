"""Quality of a face picture: its spectrum, and what is known of where its pixels come from."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.rank.halo import measure_halo
from celebahq_tools.rank.spectrum import COMPONENT_NAMES, QualityScore, prepare_luma, score_luma, weigh_asymmetry

FACE_COMPONENTS = (*COMPONENT_NAMES, "overshoot", "padding", "enlargement", "blockiness")

# Found on the tuning photographs that docs/ranking.md names, and judged on others.
_EXCESS_WEIGHT, _EXCESS_FREE = 0.15, 0.2
_OVERSHOOT_WEIGHT = 1.5
_PADDING_WEIGHT = 0.3
_ENLARGEMENT_WEIGHT = 0.05
_BLOCKINESS_WEIGHT = 0.7
# The seam along edges that an unsharpened picture has, by the tilt of its spectrum: soft edges are still rising there.
_SEAM_OFFSET, _SEAM_SLOPE = 0.03, 0.015


def score_face(
    pixels: NDArray[np.uint8],
    *,
    photo: NDArray[np.bool_] | None = None,
    zoom: float = 1.0,
    blockiness: float | None = 0.0,
) -> QualityScore:
    """Return the quality score by which faces are chosen; docs/ranking.md has its definition and its evidence.

    The score of the spectrum, with a stricter eye on its excess, minus what sharpening, padding, enlarging and JPEG
    compression take from a picture without taking it from the spectrum.

    Args:
        pixels: (n, n, 3) uint8 RGB, n a power of two from 64 to 1024.
        photo: (n, n), which pixels are photograph and not padding; all if omitted.
        zoom: Output pixels per pixel of the photograph; detail beyond it is a net's invention.
        blockiness: Of the photograph's crop, see :mod:`celebahq_tools.rank.blockiness`; None leaves the term out.
    Returns:
        The score, with the components of `FACE_COMPONENTS`: those of the spectrum, overshoot (>= 0, part of an edge's
        step), padding (0..1, part of the picture), enlargement (>= 0, octaves) and blockiness (>= 0).
    Raises:
        ShapeError: If pixels or mask have another shape.
    """
    luma = prepare_luma(pixels)
    halo = measure_halo(luma)
    spectral, tilt = score_luma(luma, photo)
    overshoot = max(halo - (_SEAM_OFFSET + _SEAM_SLOPE * tilt), 0.0)
    padding = 0.0 if photo is None else 1.0 - np.count_nonzero(photo) / photo.size
    enlargement = math.log2(max(zoom, 1.0))
    parts = spectral.components
    value = (
        parts["breadth"]
        - weigh_asymmetry(parts["asymmetry"])
        - _EXCESS_WEIGHT * max(parts["excess"] - _EXCESS_FREE, 0.0)
        - _OVERSHOOT_WEIGHT * overshoot
        - _PADDING_WEIGHT * padding
        - _ENLARGEMENT_WEIGHT * enlargement
        - _BLOCKINESS_WEIGHT * (blockiness or 0.0)
    )
    measured = (overshoot, padding, enlargement, blockiness or 0.0)
    names = FACE_COMPONENTS[len(COMPONENT_NAMES) :]
    return QualityScore(value, {**parts, **dict(zip(names, measured, strict=True))})
