"""The oriented crop: from five landmarks to a square in the photograph (Karras et al. 2018, appendix C).

Coordinates throughout are array indices, (x, y): the centre of the top left pixel is (0, 0) and a photograph
covers [-0.5, width - 0.5] x [-0.5, height - 0.5].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from celebahq_tools.errors import RejectionError, ShapeError

STAGE = "align"
# Half side of the crop in units of the distance between the eyes, and between eyes and mouth.
EYE_TO_EYE_FACTOR = 2.0
EYE_TO_MOUTH_FACTOR = 1.8
# The centre lies this part of the way from the eyes to the mouth.
CENTRE_SHIFT = 0.1
# A crop smaller than this many pixels holds no face: CelebA's smallest photographs give about 20.
MIN_SIDE = 8.0
# No photograph is a million pixels wide, and squares of such numbers are exact.
MAX_COORDINATE = 1e6
# The original shifts both averages by half a pixel; the paper and the later FFHQ variant do not.
LANDMARK_OFFSETS = {"celebahq": 0.5, "ffhq": 0.0}

Alignment = Literal["celebahq", "ffhq"]

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OrientedCrop:
    """A square of any orientation.

    Attributes:
        corners: float64, shape (4, 2), (x, y) of the north-west, south-west, south-east and north-east corner.
        half_side: Half the length of a side, in pixels of the image that the corners refer to.
    """

    corners: Points
    half_side: float

    def __post_init__(self) -> None:
        if self.corners.shape != (4, 2) or not np.isfinite(self.corners).all():
            raise ShapeError(f"oriented crop: expected 4 finite corners (4, 2), got {self.corners.tolist()}")
        if not (math.isfinite(self.half_side) and self.half_side > 0):
            raise ShapeError(f"oriented crop: half side {self.half_side} must be positive")

    def zoom(self, out_size: int) -> float:
        """Return output pixels per pixel of the image that the corners refer to."""
        return out_size / (2 * self.half_side)

    def scaled(self, factor: float) -> OrientedCrop:
        """Return the crop in an image resized by a factor."""
        return OrientedCrop(self.corners * factor, self.half_side * factor)

    def shifted(self, x: float, y: float) -> OrientedCrop:
        """Return the crop in an image whose origin lies at (-x, -y) of this one."""
        return replace(self, corners=self.corners + np.array([x, y]))

    def bounds(self) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of the smallest whole-pixel box around the corners."""
        low, high = np.floor(self.corners.min(axis=0)), np.ceil(self.corners.max(axis=0))
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def steps(self, samples: int) -> tuple[Points, Points]:
        """Return the (x, y) steps between neighbouring samples along the top and the left side.

        Args:
            samples: How many samples a side is divided into.
        """
        north_west, south_west, _, north_east = self.corners
        return (north_east - north_west) / samples, (south_west - north_west) / samples


def compute_quad(landmarks: npt.ArrayLike, alignment: Alignment = "celebahq") -> OrientedCrop:
    """Return the oriented crop of a face, with the arithmetic of the CelebA-HQ or the FFHQ program.

    Args:
        landmarks: Shape (5, 2), (x, y) in pixels: left eye, right eye, nose, left and right corner of the mouth,
            as they appear in the photograph.
        alignment: ``ffhq`` leaves out the half pixel that the CelebA-HQ program adds to the averages.
    Returns:
        The crop in coordinates of the photograph.
    Raises:
        ShapeError: If the shape is another.
        RejectionError: ``align.landmarks_invalid`` if a coordinate is not finite or beyond a million,
            ``align.landmarks_degenerate`` if eyes and mouth define no direction, ``align.face_too_small`` if the crop
            has less than 8 pixels a side.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (5, 2):
        raise ShapeError(f"landmarks: expected 5 points (5, 2), got {points.shape}")
    # The negated comparison catches NaN as well.
    if not (np.abs(points) <= MAX_COORDINATE).all():
        raise RejectionError(STAGE, "landmarks_invalid", f"not finite or beyond any photograph: {points.tolist()}")
    offset = LANDMARK_OFFSETS[alignment]
    eyes = (points[0] + points[1]) / 2 + offset
    mouth = (points[3] + points[4]) / 2 + offset
    eye_to_eye = points[1] - points[0]
    eye_to_mouth = mouth - eyes
    axis = eye_to_eye - _rotate90(eye_to_mouth)
    length = float(np.hypot(*axis))
    # Landmarks are whole pixels: an axis shorter than one is noise, not a direction.
    if length < 1.0:
        raise RejectionError(STAGE, "landmarks_degenerate", f"eyes and mouth give no direction: {points.tolist()}")
    half_side = max(
        EYE_TO_EYE_FACTOR * float(np.hypot(*eye_to_eye)), EYE_TO_MOUTH_FACTOR * float(np.hypot(*eye_to_mouth))
    )
    if 2 * half_side < MIN_SIDE:
        raise RejectionError(STAGE, "face_too_small", f"the crop is {2 * half_side:.1f} pixels a side")
    x = axis * (half_side / length)
    y = _rotate90(x)
    centre = eyes + CENTRE_SHIFT * eye_to_mouth
    return OrientedCrop(np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y]), half_side)


def measure_photo_fraction(crop: OrientedCrop, width: int, height: int) -> float:
    """Return which part of the crop's area lies inside the photograph, 0 to 1, exactly.

    Args:
        crop: In coordinates of the photograph.
        width, height: Of the photograph, pixels.
    """
    polygon = crop.corners
    for axis, limit, sign in ((0, -0.5, 1), (0, width - 0.5, -1), (1, -0.5, 1), (1, height - 0.5, -1)):
        polygon = _clip_half_plane(polygon, sign * (polygon[:, axis] - limit))
        if len(polygon) < 3:
            return 0.0
    return float(np.clip(_measure_area(polygon) / _measure_area(crop.corners), 0.0, 1.0))


def _rotate90(vector: Points) -> Points:
    return np.array([-vector[1], vector[0]])


def _measure_area(polygon: Points) -> float:
    # Relative to the first corner: the shoelace sum of large coordinates would cancel badly.
    x, y = (polygon - polygon[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _clip_half_plane(polygon: Points, inside: npt.NDArray[np.float64]) -> Points:
    """Return the part of a convex polygon where the signed distance is not negative (Sutherland-Hodgman)."""
    kept: list[Points] = []
    for i in range(len(polygon)):
        if inside[i - 1] * inside[i] < 0:
            part = inside[i - 1] / (inside[i - 1] - inside[i])
            kept.append(polygon[i - 1] + part * (polygon[i] - polygon[i - 1]))
        if inside[i] >= 0:
            kept.append(polygon[i])
    return np.array(kept).reshape(-1, 2)
