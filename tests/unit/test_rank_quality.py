"""The score of a face: what sharpening, padding, enlarging and compression take from it."""

from __future__ import annotations

import io
from math import erf, sqrt

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from celebahq_tools.align.face import align_face
from celebahq_tools.align.pad import Padding, pad_with_blur
from celebahq_tools.errors import ShapeError
from celebahq_tools.rank.blockiness import measure_blockiness
from celebahq_tools.rank.halo import measure_halo
from celebahq_tools.rank.quality import FACE_COMPONENTS, score_face
from celebahq_tools.rank.spectrum import COMPONENT_NAMES, prepare_luma, score_spectrum


@pytest.fixture(scope="module")
def face():
    return np.asarray(Image.fromarray(skimage.data.astronaut()).resize((512, 512), Image.Resampling.LANCZOS))


def sharpen(pixels, amount, sigma):
    values = pixels.astype(np.float32)
    return np.clip(np.rint(values + amount * (values - cv2.GaussianBlur(values, (0, 0), sigma))), 0, 255).astype(
        np.uint8
    )


def test_a_picture_that_nothing_is_known_of_has_the_terms_of_its_spectrum(face):
    score, spectral = score_face(face), score_spectrum(face)
    assert tuple(score.components) == FACE_COMPONENTS
    for name in COMPONENT_NAMES:
        assert score.components[name] == spectral.components[name]
    assert score.components["padding"] == score.components["enlargement"] == score.components["blockiness"] == 0


@pytest.mark.parametrize("term", [{"zoom": 4.0}, {"blockiness": 0.5}, {"photo": np.arange(512)[:, None] < [400] * 512}])
def test_what_is_known_against_a_picture_lowers_its_score(face, term):
    assert score_face(face, **term).value < score_face(face).value - 0.04


def test_a_photograph_larger_than_the_face_is_no_better_than_one_as_large(face):
    assert score_face(face, zoom=0.3).value == score_face(face, zoom=1.0).value
    assert score_face(face, blockiness=None).value == score_face(face, blockiness=0.0).value


def test_halo_of_a_blurred_edge_is_negative_and_of_a_sharpened_one_the_overshoot_of_theory():
    edges = np.zeros((256, 256))
    for start in range(20, 256, 40):  # plateaus of 20 pixels
        edges[:, start : start + 20] = 1
    blurred = cv2.GaussianBlur(100 + 60 * edges, (0, 0), 1.5)
    assert measure_halo(blurred.astype(np.float32)) < -0.02
    # y + a (y - G y) 2 pixels beyond a step edge (step at 0, samples at 0.5, 1.5, 2.5): a (1 - Phi(2.5 / sigma)).
    sharpened = 100 + 60 * edges + 0.5 * 60 * (edges - cv2.GaussianBlur(edges, (0, 0), 2.0))
    step = 2.5 / 2.0
    overshoot = 0.5 * (1 - 0.5 * (1 + erf(step / sqrt(2))))
    assert 0.4 * overshoot < measure_halo(sharpened.astype(np.float32)) < 1.2 * overshoot


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_halo_rises_with_every_step_of_sharpening(face, sigma):
    halos = [measure_halo(prepare_luma(sharpen(face, amount, sigma))) for amount in (0, 0.3, 0.6, 1, 1.5)]
    assert np.all(np.diff(halos) > 0), halos


def test_a_plain_picture_has_no_halo():
    assert measure_halo(np.full((128, 128), 80, np.float32)) == 0
    assert measure_halo(np.zeros((16, 16), np.float32)) == 0


@pytest.mark.parametrize("side", [0, 1, 2, 3])
def test_score_falls_with_every_step_of_padding_on_any_side(face, side):
    scores = [score_face(face).value]
    for share in (0.95, 0.85, 0.75, 0.65, 0.55):
        cut = int(512 * share)
        part = np.ascontiguousarray(np.rot90(face, side)[:cut])
        padded = pad_with_blur(part, Padding(154, 154, 154, max(512 - cut + 51, 154)), 10.0)[154:666, 154:666]
        mask = np.zeros((512, 512), np.bool_)
        mask[:cut] = True
        scores.append(score_face(np.rot90(padded, -side).copy(), photo=np.rot90(mask, -side)).value)
    assert np.all(np.diff(scores) < 0), scores


def test_score_falls_with_jpeg_compression_of_the_source(face):
    scores = []
    for quality in (95, 80, 60, 40, 20, 10):
        stream = io.BytesIO()
        Image.fromarray(face).save(stream, "JPEG", quality=quality)
        pixels = np.asarray(Image.open(stream))
        scores.append(score_face(pixels, blockiness=measure_blockiness(pixels)).value)
    assert np.all(np.diff(scores) < 0), scores


def test_the_mask_of_an_aligned_face_is_the_photograph_in_it():
    photo = skimage.data.astronaut()
    landmarks = np.array([(203, 100.5), (247, 103), (225, 126.5), (203.5, 139.5), (244.5, 141)])
    shifted = landmarks - [150, 60]
    face = align_face(photo[60:, 150:], shifted, out_size=256)
    mask = face.mask_photo()
    assert mask.mean() == pytest.approx(face.photo_fraction, abs=0.003)
    # Red where there is photograph: what is red in the picture is what the mask says, up to the border's blending.
    red = np.zeros_like(photo[60:, 150:])
    red[..., 0] = 255
    black = align_face(np.pad(red, ((100, 100), (100, 100), (0, 0))), shifted + 100, out_size=256).pixels[..., 0] > 127
    assert (black == mask).mean() > 0.995
    assert align_face(photo, landmarks, out_size=64).mask_photo() is None


def test_a_mask_of_another_shape_is_refused(face):
    with pytest.raises(ShapeError, match="mask"):
        score_face(face, photo=np.ones((256, 256), np.bool_))
