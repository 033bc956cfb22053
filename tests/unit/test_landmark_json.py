"""Landmarks in JSON: every accepted form, and rows that are refused alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from celebahq_tools.errors import InputError
from celebahq_tools.source.landmark_file import iterate_landmark_file

FIVE = [[69.0, 111.5], [107, 112], [88, 136], [73, 152], [105, 152]]
NAMED = dict(zip(("left_eye", "right_eye", "nose", "mouth_left", "mouth_right"), FIVE, strict=True))


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def make_68():
    """68 points whose eye outlines have the eyes as their means, and whose corners are the mouth's."""
    points = np.zeros((68, 2))
    points[36:42] = np.add(FIVE[0], [[-3, 0], [-1, -2], [1, -2], [3, 0], [1, 2], [-1, 2]])
    points[42:48] = np.add(FIVE[1], [[-3, 0], [-1, -2], [1, -2], [3, 0], [1, 2], [-1, 2]])
    points[30], points[48], points[54] = FIVE[2], FIVE[3], FIVE[4]
    return points.tolist()


@pytest.mark.parametrize(
    "points",
    [FIVE, np.ravel(FIVE).tolist(), NAMED, {"landmarks": FIVE}, {"keypoints": NAMED}, make_68()],
    ids=["five pairs", "ten numbers", "named", "wrapped", "wrapped and named", "68 points"],
)
@pytest.mark.parametrize("as_records", [False, True])
def test_every_form_gives_the_five_points(tmp_path, points, as_records):
    document = [{"file": "a.jpg", "landmarks": points}] if as_records else {"a.jpg": points}
    (row,) = list(iterate_landmark_file(write(tmp_path / "points.json", document)))
    assert row.file == "a.jpg"
    np.testing.assert_allclose(row.points, FIVE, atol=1e-5)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([1, 2, 3], "malformed"),
        ("69 111", "malformed"),
        (None, "malformed"),
        (5, "malformed"),
        ({}, "malformed"),
        ({"left_eye": [1, 2]}, "malformed"),
        ([["a", 1]] * 5, "malformed"),
        ([[1, 2], [3]], "malformed"),
        ([[10**400, 1]] * 5, "malformed"),
        ([[float("nan"), 1]] * 5, "not_finite"),
        ([[1e39, 1]] * 5, "not_finite"),
    ],
)
def test_a_bad_record_is_rejected_alone(tmp_path, points, reason):
    bad, good = list(iterate_landmark_file(write(tmp_path / "p.json", {"a.jpg": points, "b.jpg": FIVE})))
    assert (bad.problem.stage, bad.problem.reason) == ("landmarks", reason)
    assert good.problem is None


def test_a_name_given_twice_is_rejected_both_times(tmp_path):
    text = f'{{"a.jpg": {FIVE}, "a.jpg": {FIVE}}}'
    rows = list(iterate_landmark_file(write(tmp_path / "p.json", text)))
    assert [row.problem.reason for row in rows] == ["duplicate", "duplicate"]


@pytest.mark.parametrize("text", ["{", "[1, 2]", '[{"landmarks": []}]', "[" * 100_000, '{"a": 1]'])
def test_a_foreign_document_is_refused_with_its_name(tmp_path, text):
    with pytest.raises(InputError, match=r"p\.json"):
        list(iterate_landmark_file(write(tmp_path / "p.json", text)))
