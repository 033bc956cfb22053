"""Behaviour of alignment at its edges: what is rejected, what is restored, what is observed."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from celebahq_tools.align.face import _Photo, _shrink_photo, align_face, choose_superres_factor
from celebahq_tools.align.quad import OrientedCrop, compute_quad
from celebahq_tools.align.warp import warp_crop
from celebahq_tools.errors import ConfigError, RejectionError, ShapeError

LANDMARKS = np.array([[203.0, 101], [247, 103], [224, 127], [205, 141], [243, 142]])


class Repeat:
    """A restorer whose result is known: pixels repeated, as if it needed context."""

    def __init__(self, scale, halo):
        self.scale, self.halo, self.sizes = scale, halo, []

    def restore(self, pixels):
        self.sizes.append(pixels.shape)
        return pixels.repeat(self.scale, axis=0).repeat(self.scale, axis=1)


@pytest.mark.parametrize(
    ("landmarks", "reason"),
    [
        (np.full((5, 2), 50.0), "landmarks_degenerate"),
        (np.where(np.arange(10).reshape(5, 2) == 3, np.nan, LANDMARKS), "landmarks_invalid"),
        (np.where(np.arange(10).reshape(5, 2) == 3, np.inf, LANDMARKS), "landmarks_invalid"),
        (LANDMARKS * 1e300, "landmarks_invalid"),
        (LANDMARKS / 50, "face_too_small"),
        (LANDMARKS + 5000, "outside_photo"),
        (LANDMARKS * 1e9, "landmarks_invalid"),
        ((LANDMARKS - LANDMARKS.mean(axis=0)) * 40 + 256, "outside_photo"),
    ],
)
def test_unusable_landmarks_are_rejected_with_their_reason(landmarks, reason):
    with pytest.raises(RejectionError) as caught:
        align_face(data.astronaut(), landmarks)
    assert (caught.value.stage, caught.value.reason) == ("align", reason)


@pytest.mark.parametrize("out_size", [64, 128, 256, 512, 1024])
def test_every_output_size_shows_the_same_face(out_size):
    face = align_face(data.astronaut(), LANDMARKS, out_size=out_size)
    assert face.pixels.shape == (out_size, out_size, 3)
    large = align_face(data.astronaut(), LANDMARKS).pixels
    small = np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.BOX)).astype(float)
    mine = np.asarray(Image.fromarray(face.pixels).resize((64, 64), Image.Resampling.BOX)).astype(float)
    # The original's sampling lies 1/8 output pixel towards the north-west, so sizes differ by that much; a face
    # displaced by a whole pixel of 64 differs by more than 10 levels.
    assert np.abs(small - mine).mean() < 4


def test_restorers_see_the_region_with_their_halo_and_the_halo_leaves_no_trace():
    photo = data.astronaut()
    dejpeg, net = Repeat(1, 7), Repeat(4, 5)
    restored = align_face(photo, LANDMARKS, dejpeg=dejpeg, superres=lambda zoom: net)
    bare = align_face(photo, LANDMARKS, dejpeg=Repeat(1, 0), superres=lambda zoom: Repeat(4, 0))
    np.testing.assert_array_equal(restored.pixels, bare.pixels)
    # The golden case A: columns 116 to 335 and rows 0 (the photograph's own border) to 216.
    assert net.sizes == [(216 + 5, 219 + 10, 3)]
    assert dejpeg.sizes == [(216 + 12, 219 + 24, 3)]
    assert restored.superres == 4


def test_super_resolution_is_left_out_where_the_photograph_is_large_enough():
    def refuse(zoom):
        raise AssertionError(f"asked for super-resolution at zoom {zoom}")

    face = align_face(data.astronaut(), LANDMARKS, out_size=128, superres=refuse)
    assert face.superres == 1


def test_a_restorer_that_returns_the_wrong_size_is_named_as_the_fault():
    class Wrong(Repeat):
        def restore(self, pixels):
            return pixels

    with pytest.raises(ShapeError, match="restorer"):
        align_face(data.astronaut(), LANDMARKS, superres=lambda zoom: Wrong(4, 0))


def test_stages_are_observed_in_the_order_they_happen_and_do_not_change_the_result():
    seen = []
    photo = data.astronaut()[40:230, 140:310]
    landmarks = LANDMARKS - [140, 40]
    nets = {"dejpeg": Repeat(1, 2), "superres": lambda zoom: Repeat(4, 2)}
    watched = align_face(photo, landmarks, observe=lambda name, pixels, corners: seen.append(name), **nets)
    assert seen == ["crop", "dejpeg", "superres", "padded", "blurred", "final"]
    np.testing.assert_array_equal(watched.pixels, align_face(photo, landmarks, **nets).pixels)


def test_shrinking_a_region_equals_shrinking_the_whole_photograph():
    photo = np.asarray(Image.fromarray(data.astronaut()).resize((1501, 1403), Image.Resampling.BICUBIC))
    crop = compute_quad(LANDMARKS * 2.5)
    part = _shrink_photo(_Photo(photo, crop), 3, 20)
    whole = np.asarray(Image.fromarray(photo).resize((500, 468), Image.Resampling.LANCZOS))
    left, top = np.rint(crop.corners[0] / 3 - part.crop.corners[0]).astype(int)
    height, width = part.pixels.shape[:2]
    apart = np.abs(part.pixels.astype(int) - whole[top : top + height, left : left + width])
    # Filter positions are computed from another origin: single values fall on the other side of a rounding edge.
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.001


@pytest.mark.parametrize(("zoom", "factor"), [(0.3, 1), (1.0, 1), (1.01, 2), (2.0, 2), (5.8, 8)])
def test_the_originals_factor_is_the_power_of_two_not_below_the_zoom(zoom, factor):
    assert choose_superres_factor(zoom) == factor


def test_a_photograph_of_celebas_smallest_size_gives_a_face():
    photo = np.asarray(Image.fromarray(data.astronaut()).crop((160, 30, 290, 196)).resize((43, 55)))
    face = align_face(photo, (LANDMARKS - [160, 30]) / 3.02, superres=lambda zoom: Repeat(4, 3))
    assert face.pixels.shape == (1024, 1024, 3)


def test_wrong_arguments_are_named():
    with pytest.raises(ShapeError, match="photograph"):
        align_face(data.camera(), LANDMARKS)
    with pytest.raises(ShapeError, match="output size 100"):
        align_face(data.astronaut(), LANDMARKS, out_size=100)
    with pytest.raises(ShapeError, match="landmarks"):
        align_face(data.astronaut(), LANDMARKS[:4])
    with pytest.raises(ConfigError, match="resampling 'cubic'"):
        warp_crop(data.astronaut(), compute_quad(LANDMARKS), 64, "cubic")
    with pytest.raises(ShapeError, match="half side"):
        OrientedCrop(np.zeros((4, 2)), 0.0)
