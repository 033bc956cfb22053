"""Do given landmarks lie where the detector sees a face?"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import RejectionError
from celebahq_tools.source.detector import DetectedFace, FaceDetector
from celebahq_tools.source.plausibility import HeadPose, fit_head
from celebahq_tools.types import Pixels

# In eye distances of the fitted head: mean over the points, and the worst of them; docs/guards.md says how they were
# found. The detector itself errs by 0.03 on average.
MAX_MEAN, MAX_WORST = 0.25, 0.45
# Faces turned further than this are where the detector, and whoever placed the landmarks, guess: twice the limits.
PROFILE_YAW = 40.0
# With two landmarks exchanged the five fit the detector's this much better: then they are exchanged.
_EXCHANGED = 0.5
_EXCHANGES = [[{i: j, j: i}.get(k, k) for k in range(5)] for i, j in combinations(range(5), 2)]
# The surroundings of the face, in eye distances to each side of the landmarks' middle, looked at first, at this size:
# the face is then about 70 pixels wide.
_REACH = 4.0
_REGION_SIDE = 256
# A face elsewhere speaks against the landmarks only if there is none at the landmarks, and if it is certain, or if it
# is near and there is surely none at them.
_CERTAIN, _NO_FACE = 0.98, 0.5
_NEAR, _SURELY_NO_FACE = 5.0, 0.1
# Two faces are never this near to each other, in eye distances: it is the same one.
_SAME = 1.5
# The detector's boxes are about this many eye distances wide, their middle being the landmarks'.
_BOX_SIDE = 2.4


def check_agreement(
    pixels: Pixels, landmarks: NDArray[np.float32], pose: HeadPose, detector: FaceDetector
) -> float | None:
    """Reject landmarks that contradict the detector.

    The surroundings of the landmarks are searched first, the whole photograph only if no face in them agrees.

    Args:
        pixels: (H, W, 3) uint8 RGB photograph.
        landmarks: (5, 2) in its pixels.
        pose: Of these landmarks.
        detector: Finds the faces.
    Returns:
        Mean distance to the detector's landmarks in eye distances; None if it sees no face here and is sure of none
        elsewhere, as with profiles: then nobody knows better than the given landmarks.
    Raises:
        RejectionError: ``landmarks.detector``.
    """
    middle = landmarks.mean(axis=0)
    low = np.maximum(np.floor(middle - _REACH * pose.eye_distance), 0).astype(int)
    high = np.maximum(np.ceil(middle + _REACH * pose.eye_distance), 0).astype(int) + 1
    region = pixels[low[1] : high[1], low[0] : high[0]]
    if region.size:
        moved = landmarks - low.astype(np.float32)
        nearest = _find_nearest(detector.detect(region, work_side=_REGION_SIDE), moved, pose)
        if nearest is not None and _agrees(nearest[0], moved, pose):
            return float(nearest[1].mean())
    found = detector.detect(pixels)
    nearest = _find_nearest(found, landmarks, pose)
    if nearest is None:
        return None
    face, errors = nearest
    if _agrees(face, landmarks, pose):
        return float(errors.mean())
    half = _BOX_SIDE / 2 * pose.eye_distance
    box = np.concatenate([middle - half, middle + half]).astype(np.float32)
    inside = bool((middle > face.box[:2]).all() and (middle < face.box[2:]).all())
    if inside or errors.mean() < _SAME:
        detail = f"{errors.mean():.2f} eye distances from the detector's on average, {errors.max():.2f} at worst"
        raise RejectionError("landmarks", "detector", detail)
    rate = detector.rate(pixels, box)
    if rate < (_NO_FACE if face.probability >= _CERTAIN else _SURELY_NO_FACE if errors.mean() < _NEAR else 0):
        x, y = face.landmarks.mean(axis=0)
        raise RejectionError("landmarks", "detector", f"no face there; the nearest is at x {x:.0f}, y {y:.0f}")
    return None


def _find_nearest(
    faces: list[DetectedFace], landmarks: NDArray[np.float32], pose: HeadPose
) -> tuple[DetectedFace, NDArray[np.float64]] | None:
    """Return the face whose landmarks are nearest on average, and the distances of the five in eye distances."""
    if not faces:
        return None
    errors = [_measure(face, landmarks) / pose.eye_distance for face in faces]
    best = int(np.argmin([error.mean() for error in errors]))
    return faces[best], errors[best]


def _measure(face: DetectedFace, landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the distances of the five landmarks from the detector's, in pixels."""
    return np.asarray(np.hypot(*(face.landmarks - landmarks).T.astype(np.float64)))


def _agrees(face: DetectedFace, landmarks: NDArray[np.float32], pose: HeadPose) -> bool:
    # Exchanged landmarks can look like those of a larger head in profile: the detector has to see it so, too.
    seen = fit_head(face.landmarks)
    slack = 2.0 if min(abs(pose.yaw), abs(seen.yaw)) > PROFILE_YAW else 1.0
    distances = _measure(face, landmarks)
    errors = distances / min(pose.eye_distance, seen.eye_distance)
    if errors.mean() > MAX_MEAN * slack or errors.max() > MAX_WORST * slack:
        return False
    exchanged = min(_measure(face, landmarks[order]).sum() for order in _EXCHANGES)
    return bool(exchanged > _EXCHANGED * distances.sum())
