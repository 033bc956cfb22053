"""Can five points be the landmarks of a face? A rigid head is turned, scaled and laid over them; what misses, tells.

An average head of five points in space, seen from any direction that shows its face, gives any arrangement that true
landmarks can have, profiles included. The best fit of yaw, pitch, roll, scale and place is found by going through all
yaws and pitches; the rest has a closed form (a complex least-squares fit).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from celebahq_tools.errors import RejectionError

STAGE = "landmarks"

# Left eye, right eye, nose, left and right corner of the mouth as they appear in the picture; x to the right, y down,
# z towards the camera, in units of the distance between the eyes. x and y are CelebA's mean aligned face; the depths
# are common anthropometry (the tip of the nose half an eye distance before the eyes).
_HEAD = np.array(
    [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.62, 0.50], [-0.41, 1.07, 0.12], [0.41, 1.07, 0.12]], np.float64
)
_YAWS = np.deg2rad(np.arange(-95, 96, 5))
_PITCHES = np.deg2rad(np.arange(-60, 61, 5))
# Greatest misfit of true landmarks in eye distances, and what rounding to whole pixels adds, in pixels;
# docs/guards.md says how they were found.
MAX_MISFIT = 0.18
ROUNDING = 0.4
# Heads are tilted, people lie down; nobody hangs from the ceiling.
MAX_ROLL = 100.0
# A landmark may lie this far outside the photograph, in eye distances of the fitted head.
MAX_OUTSIDE = 0.25
_EXCHANGES = {
    "left and right are exchanged": [1, 0, 2, 4, 3],
    "the eyes are exchanged": [1, 0, 2, 3, 4],
    "the corners of the mouth are exchanged": [0, 1, 2, 4, 3],
    "eyes and mouth are exchanged": [3, 4, 2, 0, 1],
    "eyes and mouth, and left and right, are exchanged": [4, 3, 2, 1, 0],
    "x and y are exchanged": None,
}

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HeadPose:
    """How an average head must stand to explain five landmarks.

    Attributes:
        yaw: Degrees to the side, positive when the nose points to the right of the picture; 0 is frontal, 90 a profile.
        pitch: Degrees down (positive) or up.
        roll: Degrees that the head is tilted clockwise in the picture.
        eye_distance: Distance of the head's eyes in pixels, as if it were seen from the front.
        misfit: Root mean square distance between landmarks and head, in eye distances.
    """

    yaw: float
    pitch: float
    roll: float
    eye_distance: float
    misfit: float

    @property
    def limit(self) -> float:
        """Greatest misfit that true landmarks of a head of this size can have."""
        return MAX_MISFIT + ROUNDING / max(self.eye_distance, ROUNDING)


def fit_head(landmarks: npt.ArrayLike) -> HeadPose:
    """Return the pose in which the average head comes nearest to five landmarks.

    Args:
        landmarks: Shape (5, 2), x and y, finite.
    Returns:
        The pose, on a grid of 5 degrees in yaw and pitch. Points that all coincide have an infinite misfit.
    """
    points = np.asarray(landmarks, np.float64)
    target = points[:, 0] + 1j * points[:, 1]
    target = target - target.mean()
    heads = _list_views()
    # Least squares of target = factor * head: the factor holds scale and roll.
    weight = np.sum(np.abs(heads) ** 2, axis=1)
    factor = np.sum(np.conj(heads) * target, axis=1) / weight
    scale = np.abs(factor)
    with np.errstate(divide="ignore", invalid="ignore"):
        misfit = np.sqrt(np.maximum(np.sum(np.abs(target) ** 2) - scale**2 * weight, 0) / 5) / scale
    misfit = np.where(np.isfinite(misfit), misfit, np.inf)
    best = int(np.argmin(misfit))
    yaw, pitch = divmod(best, len(_PITCHES))
    return HeadPose(
        yaw=float(np.rad2deg(_YAWS[yaw])),
        pitch=float(np.rad2deg(_PITCHES[pitch])),
        roll=float(np.rad2deg(np.angle(factor[best]))),
        eye_distance=float(scale[best]),
        misfit=float(misfit[best]),
    )


def check_plausible(landmarks: npt.ArrayLike, width: int, height: int) -> HeadPose:
    """Reject landmarks that no face can have, or that lie outside the photograph.

    Args:
        landmarks: Shape (5, 2), x and y in pixels.
        width, height: Of the photograph in pixels.
    Returns:
        The pose of the head.
    Raises:
        RejectionError: With stage ``landmarks`` and reason ``order`` (points are exchanged), ``shape`` (distances and
            angles between them are no face's), ``upside_down``, or ``outside``.
    """
    points = np.asarray(landmarks, np.float64)
    pose = fit_head(points)
    if pose.misfit > pose.limit:
        for what, order in _EXCHANGES.items():
            other = points[:, ::-1] if order is None else points[order]
            changed = fit_head(other)
            if changed.misfit <= changed.limit and abs(changed.roll) <= MAX_ROLL:
                raise RejectionError(STAGE, "order", f"it seems that {what}")
        detail = f"they miss the nearest head by {pose.misfit:.2f} eye distances, the limit is {pose.limit:.2f}"
        raise RejectionError(STAGE, "shape", detail)
    if abs(pose.roll) > MAX_ROLL:
        raise RejectionError(STAGE, "upside_down", f"the head is tilted by {pose.roll:.0f} degrees")
    size = np.array([width, height]) - 1
    beyond = float(np.maximum(-points, points - size).max())
    if beyond > MAX_OUTSIDE * pose.eye_distance:
        raise RejectionError(
            STAGE, "outside", f"one lies {beyond:.0f} pixels outside the {width}x{height} photograph: half a face"
        )
    return pose


@cache
def _list_views() -> npt.NDArray[np.complex128]:
    """Return the head from every direction, yaw after yaw, centred, as complex numbers x + iy; shape (views, 5)."""
    views = []
    for yaw in _YAWS:
        for pitch in _PITCHES:
            x, y, z = _HEAD.T
            # Pitch about the axis through both ears, then yaw about the vertical; z points to the camera.
            y, z = y * np.cos(pitch) + z * np.sin(pitch), z * np.cos(pitch) - y * np.sin(pitch)
            x = x * np.cos(yaw) + z * np.sin(yaw)
            views.append(x + 1j * y)
    heads = np.array(views)
    heads -= heads.mean(axis=1, keepdims=True)
    heads.setflags(write=False)
    return heads
