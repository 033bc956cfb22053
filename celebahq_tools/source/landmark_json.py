"""Landmarks in JSON: names mapped to points, or a list of records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError
from celebahq_tools.types import LANDMARK_NAMES

FILE_KEYS = ("file", "file_name", "filename", "image", "image_id", "name", "path")
_POINT_KEYS = ("landmarks", "points", "keypoints", "face_landmarks")
_SPELLINGS = {
    "lefteye": ("lefteye", "left_eye"),
    "righteye": ("righteye", "right_eye"),
    "nose": ("nose", "nose_tip"),
    "leftmouth": ("leftmouth", "left_mouth", "mouth_left"),
    "rightmouth": ("rightmouth", "right_mouth", "mouth_right"),
}
# The usual 68 points: each eye by the mean of its outline, the tip of the nose, the outer corners of the mouth.
_OF_68 = (slice(36, 42), slice(42, 48), slice(30, 31), slice(48, 49), slice(54, 55))


def read_json_rows(path: Path, text: str) -> list[tuple[str, object]]:
    """Return (file name, points as they stand in the file) in file order, names that stand twice included.

    Takes ``{"a.jpg": POINTS, ...}`` and ``[{"file": "a.jpg", "landmarks": POINTS}, ...]``; :func:`parse_points` says
    what POINTS may be.

    Args:
        path: For messages.
        text: Contents of the file.
    Raises:
        InputError: If it is not JSON of one of these forms.
    """
    try:
        # Pairs instead of a dictionary: a name that stands twice must not silently win over the first.
        document = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None
    if isinstance(document, _Pairs):
        return list(document)
    if isinstance(document, list) and all(isinstance(record, _Pairs) for record in document):
        return [_split_record(path, number, dict(record)) for number, record in enumerate(document)]
    raise InputError(f'{path}: expected {{"a.jpg": points, ...}} or [{{"file": "a.jpg", "landmarks": points}}, ...]')


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its keys as they stand."""


def parse_points(value: object) -> NDArray[np.float32]:
    """Return five points (5, 2) from what a JSON file holds for one photograph.

    Takes ten numbers, five or 68 pairs, or an object that names the five (``lefteye`` or ``left_eye`` ...).

    Raises:
        ValueError: With a message of what is wrong.
    """
    if isinstance(value, (_Pairs, Mapping)):
        named = dict(value)
        for key in _POINT_KEYS:
            if key in named:
                return parse_points(named[key])
        value = [_find_point(named, name) for name in LANDMARK_NAMES]
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError("the points are not a list")
    try:
        points = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise ValueError("a coordinate is not a number") from None
    if points.shape == (10,):
        points = points.reshape(5, 2)
    if points.shape == (68, 2):
        points = np.stack([points[part].mean(axis=0) for part in _OF_68])
    if points.shape != (5, 2):
        raise ValueError(f"points of shape {points.shape} instead of 5 or 68 pairs or 10 numbers")
    with np.errstate(over="ignore"):  # too large becomes infinite, which is said to whoever asked
        return points.astype(np.float32)


def _find_point(named: Mapping[str, object], name: str) -> object:
    for spelling in _SPELLINGS[name]:
        if spelling in named:
            return named[spelling]
    raise ValueError(f"no {name}")


def _split_record(path: Path, number: int, record: dict[str, object]) -> tuple[str, object]:
    for key in FILE_KEYS:
        if isinstance(record.get(key), str):
            return str(record[key]), record
    raise InputError(f"{path}: record {number} names no file; expected one of the keys {', '.join(FILE_KEYS)}")
