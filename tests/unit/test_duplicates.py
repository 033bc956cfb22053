"""Duplicates: what counts as the same picture, and that what is kept depends on scores and pictures alone."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from celebahq_tools.align.face import align_face
from celebahq_tools.errors import ConfigError, ShapeError
from celebahq_tools.rank.duplicates import (
    MAX_DIFFERENCE,
    choose_distinct,
    decode_thumb,
    encode_thumb,
    hash_thumbs,
    make_thumb,
    measure_difference,
)
from celebahq_tools.restore.resample import Lanczos
from celebahq_tools.source.samples import PORTRAITS


def align(pixels, landmarks):
    return align_face(np.ascontiguousarray(pixels), landmarks, out_size=128, superres=lambda _: Lanczos(2)).pixels


def compress(pixels, quality):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


@pytest.fixture(scope="module")
def portraits():
    return {name: (np.asarray(portrait.load()), portrait.landmarks) for name, portrait in PORTRAITS.items()}


@pytest.fixture(scope="module")
def thumbs(portraits):
    """The two portraits, and each re-encoded, reduced, brightened and with landmarks placed by another hand."""
    rng = np.random.default_rng(5)
    faces = {}
    for name, (pixels, points) in portraits.items():
        eye_distance = np.hypot(*(points[1] - points[0]))
        half = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        faces[name] = align(pixels, points)
        faces[f"{name} re-encoded"] = align(compress(pixels, 20), np.rint(points))
        faces[f"{name} reduced"] = align(half, np.rint((points + 0.5) / 2 - 0.5))
        faces[f"{name} brighter"] = align(np.clip(pixels * 1.1 + 5, 0, 255).astype(np.uint8), points)
        faces[f"{name} other hand"] = align(pixels, points + rng.normal(0, 0.02 * eye_distance, points.shape))
    return {name: make_thumb(face) for name, face in faces.items()}


def stack(thumbs):
    return np.stack(list(thumbs.values()))


def test_every_version_of_a_face_is_left_out_in_favour_of_the_best_scored(thumbs):
    names = list(thumbs)
    order = np.array([3, 7, 0, 1, 2, 4, 5, 6, 8, 9])  # the brighter astronaut and the reduced hopper score best
    distinct = choose_distinct(order, stack(thumbs), keep=10)
    assert [names[i] for i in distinct.kept] == ["astronaut brighter", "hopper reduced"]
    assert {names[i].split()[0] for i, j in distinct.original.items() if j == 3} == {"astronaut"}
    assert {names[i].split()[0] for i, j in distinct.original.items() if j == 7} == {"hopper"}


def test_what_is_kept_does_not_depend_on_where_the_pictures_stand(thumbs):
    rng = np.random.default_rng(0)
    pictures = stack(thumbs)
    scores = rng.permutation(len(pictures))
    expected = {pictures[i].tobytes() for i in choose_distinct(np.argsort(-scores), pictures, keep=3).kept}
    for _ in range(5):
        moved = rng.permutation(len(pictures))
        distinct = choose_distinct(np.argsort(-scores[moved]), pictures[moved], keep=3)
        assert {pictures[moved][i].tobytes() for i in distinct.kept} == expected


def test_a_mirror_image_counts_only_on_request(portraits):
    pixels, points = portraits["hopper"]
    mirrored = points.copy()
    mirrored[:, 0] = pixels.shape[1] - 1 - mirrored[:, 0]
    faces = [align(pixels, points), align(pixels[:, ::-1], mirrored[[1, 0, 2, 4, 3]])]
    thumbs = np.stack([make_thumb(face) for face in faces])
    order = np.arange(2)
    assert len(choose_distinct(order, thumbs, keep=2).kept) == 2
    assert choose_distinct(order, thumbs, keep=2, mirrored=True).original == {1: 0}


def test_no_more_than_asked_for_is_kept_and_duplicates_do_not_count(thumbs):
    names = list(thumbs)
    order = np.argsort(["hopper" in name for name in names], kind="stable")
    distinct = choose_distinct(order, stack(thumbs), keep=2)
    assert [names[i] for i in distinct.kept] == ["astronaut", "hopper"]
    assert len(choose_distinct(order, stack(thumbs), keep=1).kept) == 1


def test_difference_of_a_small_motion_is_far_below_that_of_another_face(thumbs):
    # An affine motion of a smooth picture is the sum of its gradients up to second order.
    y, x = np.mgrid[:24, :24]
    waves = 128 + 50 * np.sin(x / 4 + 0.3) * np.cos(y / 5)
    moved = 128 + 50 * np.sin((x * 1.02 + 0.4) / 4 + 0.3) * np.cos((y - 0.3) / 5)
    same = measure_difference(waves.astype(np.uint8), moved.astype(np.uint8)[None])[0]
    assert same < 0.05 < MAX_DIFFERENCE
    other = measure_difference(thumbs["astronaut"], thumbs["hopper"][None])[0]
    assert other > 3 * MAX_DIFFERENCE


def test_pictures_without_contrast_are_not_taken_for_copies_of_photographs(thumbs):
    black, grey = np.zeros((24, 24), np.uint8), np.full((24, 24), 128, np.uint8)
    pictures = np.stack([thumbs["hopper"], black, grey])
    distinct = choose_distinct(np.arange(3), pictures, keep=3)
    assert 0 in distinct.kept
    assert 0 not in distinct.original.values()


def test_hash_is_the_same_alone_and_in_company(thumbs):
    pictures = stack(thumbs)
    together = hash_thumbs(pictures)
    assert [int(hash_thumbs(picture[None])[0]) for picture in pictures] == together.tolist()


def test_thumbnails_survive_the_journal_and_damage_is_named(thumbs):
    pictures = stack(thumbs)
    for picture in pictures:
        np.testing.assert_array_equal(decode_thumb(encode_thumb(picture)), picture)
    for damaged in (encode_thumb(pictures[0])[:-8], encode_thumb(pictures[0][:-1]), b"no zlib"):
        with pytest.raises(ShapeError, match="damaged"):
            decode_thumb(damaged)


def test_wrong_arguments_are_refused(thumbs):
    with pytest.raises(ConfigError, match="at least 1"):
        choose_distinct(np.arange(1), stack(thumbs)[:1], keep=0)
    with pytest.raises(ShapeError, match="need 24"):
        make_thumb(np.zeros((20, 40, 3), np.uint8))
