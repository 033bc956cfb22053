"""Landmarks no face can have are rejected by name; those of any pose of a head are not."""

from __future__ import annotations

import numpy as np
import pytest

from celebahq_tools.errors import RejectionError
from celebahq_tools.source.plausibility import MAX_MISFIT, check_plausible, fit_head
from celebahq_tools.source.samples import PORTRAITS, VARIATIONS, render_variation

PORTRAIT_POINTS = [portrait.landmarks for portrait in PORTRAITS.values()]
# The mean of CelebA's aligned faces (178x218), to whole pixels.
MEAN_FACE = np.array([(69, 111), (108, 111), (88, 136), (73, 152), (105, 152)], float)


def turn_head(yaw, pitch, roll, scale=60.0, centre=(300, 300)):
    """A head of its own, not the package's: eyes, nose and mouth on a sphere of 1.05 eye distances, seen from afar."""
    head = np.array([[-0.5, -0.3, 0.87], [0.5, -0.3, 0.87], [0, 0.3, 1.3], [-0.4, 0.75, 0.9], [0.4, 0.75, 0.9]])
    y, p, r = np.deg2rad([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (head @ (tilt @ turn @ nod).T)[:, :2] * scale + centre


@pytest.mark.parametrize("roll", [-60, -20, 0, 45])
@pytest.mark.parametrize("pitch", [-30, 0, 30])
@pytest.mark.parametrize("yaw", [-90, -45, 0, 20, 75])
def test_a_head_in_any_pose_is_plausible_and_its_pose_is_found(yaw, pitch, roll):
    points = turn_head(yaw, pitch, roll)
    pose = check_plausible(points, 600, 600)
    # The other head's proportions move the best fit by some grid steps of 5 degrees.
    assert pose.yaw == pytest.approx(yaw, abs=20)
    assert pose.misfit < 0.1
    if abs(yaw) < 50:
        assert pose.roll == pytest.approx(roll, abs=12)
        assert pose.eye_distance == pytest.approx(60, rel=0.15)


@pytest.mark.parametrize("points", [*PORTRAIT_POINTS, MEAN_FACE])
def test_real_landmarks_are_plausible_with_room_to_spare(points):
    assert fit_head(points).misfit < MAX_MISFIT / 1.5


@pytest.mark.parametrize("variation", VARIATIONS, ids=str)
def test_no_sample_photograph_is_rejected(variation):
    import io

    from PIL import Image

    data, points = render_variation(variation)
    width, height = Image.open(io.BytesIO(data)).size
    check_plausible(np.rint(points), width, height)


@pytest.mark.parametrize("order", [[1, 0, 2, 4, 3], [1, 0, 2, 3, 4], [0, 1, 2, 4, 3], [3, 4, 2, 0, 1]])
@pytest.mark.parametrize("points", [*PORTRAIT_POINTS, MEAN_FACE])
def test_exchanged_landmarks_are_rejected_as_such(points, order):
    with pytest.raises(RejectionError, match=r"landmarks\.order: it seems that"):
        check_plausible(points[order], 600, 600)


def test_exchanged_coordinates_are_rejected():
    with pytest.raises(RejectionError, match=r"landmarks\.(order|shape)"):
        check_plausible(PORTRAIT_POINTS[0][:, ::-1], 600, 600)


def test_most_random_points_are_no_face():
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(200):
        try:
            check_plausible(rng.uniform(0, 100, (5, 2)), 100, 100)
        except RejectionError:
            rejected += 1
    assert rejected > 185


@pytest.mark.parametrize("point", range(5))
def test_one_point_far_off_is_rejected(point):
    points = PORTRAIT_POINTS[1].astype(float)
    points[point] += np.array([1.0, 1.2]) * np.hypot(*(points[1] - points[0]))
    with pytest.raises(RejectionError, match=r"landmarks\.(shape|order)"):
        check_plausible(points, 2000, 2000)


def test_a_head_upside_down_is_rejected():
    with pytest.raises(RejectionError, match=r"landmarks\.upside_down"):
        check_plausible(600 - PORTRAIT_POINTS[1], 600, 600)


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_half_a_face_is_rejected_at_every_border(side):
    points = PORTRAIT_POINTS[1].astype(float)
    middle = points.mean(axis=0)
    width = height = 600
    if side in ("left", "top"):
        points[:, 0 if side == "left" else 1] -= middle[0 if side == "left" else 1]
    else:
        width, height = (int(middle[0]), 600) if side == "right" else (600, int(middle[1]))
    with pytest.raises(RejectionError, match=r"landmarks\.outside.*half a face"):
        check_plausible(points, width, height)


def test_a_face_that_just_touches_the_border_is_kept():
    points = PORTRAIT_POINTS[1] - PORTRAIT_POINTS[1].min(axis=0) - 3
    check_plausible(points, 600, 600)


def test_points_in_one_place_have_an_infinite_misfit():
    assert fit_head(np.full((5, 2), 7.0)).misfit == np.inf
    with pytest.raises(RejectionError, match=r"landmarks\.shape"):
        check_plausible(np.full((5, 2), 7.0), 100, 100)


def test_rounding_to_whole_pixels_does_not_reject_the_smallest_faces():
    rng = np.random.default_rng(1)
    for _ in range(200):
        points = MEAN_FACE * (8 / 39) + rng.uniform(0, 30, 2)
        check_plausible(np.rint(points), 80, 80)
