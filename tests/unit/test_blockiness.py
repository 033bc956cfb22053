"""Blockiness: rises with JPEG compression wherever the grid begins, and is near nothing without it."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from celebahq_tools.errors import ShapeError
from celebahq_tools.rank.blockiness import measure_blockiness

QUALITIES = (90, 80, 70, 50, 30, 15, 8)


def compress(pixels, quality):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


@pytest.fixture(scope="module", params=["astronaut", "chelsea", "coffee"])
def photo(request):
    return getattr(skimage.data, request.param)()[:288, :288]


@pytest.mark.parametrize("offset", [(0, 0), (3, 5)])
def test_blockiness_rises_with_every_step_of_compression(photo, offset):
    top, left = offset
    values = [measure_blockiness(photo)]
    values += [measure_blockiness(compress(photo, quality)[top:, left:]) for quality in QUALITIES]
    assert np.all(np.diff(values) > 0), values
    assert values[0] < 0.02
    assert values[-1] > 0.5


def test_blockiness_does_not_depend_on_direction_or_where_the_grid_begins(photo):
    blocky = compress(photo, 20)
    value = measure_blockiness(blocky)
    assert measure_blockiness(blocky[5:, 2:]) == pytest.approx(value, rel=0.15)
    # Lines are averaged over the same pixels, whichever way the picture lies.
    assert measure_blockiness(np.ascontiguousarray(blocky.transpose(1, 0, 2))) == pytest.approx(value, abs=1e-9)


def test_an_edge_of_the_picture_is_not_taken_for_a_grid():
    pixels = np.full((256, 256, 3), 60, np.uint8)
    pixels[:, 128:] = 200
    assert measure_blockiness(pixels) < 0.06


def test_noise_and_plain_colour_have_none():
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert measure_blockiness(noise) < 0.02
    assert measure_blockiness(np.full((256, 256, 3), 90, np.uint8)) == 0


def test_a_grid_of_known_height_has_the_contrast_of_the_formula():
    # Steps of 4 on every eighth line and of 1 elsewhere: (4 - 1) / (1 + 2) beside (1 - 1) / 3.
    row = np.cumsum(np.where(np.arange(200) % 8 == 7, 4, 1)) % 200
    steps = np.abs(np.diff(row))
    pixels = np.repeat(np.repeat(row[None, :, None], 200, axis=0), 3, axis=2).astype(np.uint8)
    keep = int(np.argmax(steps > 16))  # up to where the ramp starts again
    across = measure_blockiness(pixels[:, :keep])
    assert across == pytest.approx(0.5, abs=0.02)  # 1 along x, 0 along y


def test_what_is_too_small_has_none_and_a_large_photograph_is_measured_in_its_middle():
    assert measure_blockiness(np.zeros((17, 300, 3), np.uint8)) == 0
    photo = cv2.resize(skimage.data.astronaut(), (1040, 1040))
    framed = compress(photo, 10).copy()
    framed[:8] = framed[-8:] = 0
    assert measure_blockiness(framed) > 0.3


def test_other_arrays_are_refused():
    with pytest.raises(ShapeError):
        measure_blockiness(np.zeros((64, 64), np.uint8))
