"""Nearest training images: a copy is found whatever else changes, in one pass, and the picture shows it."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from celebahq_tools.align.quad import compute_quad
from celebahq_tools.errors import ConfigError
from pggan_core.neighbors import FACE_CROP, Crop, describe_pixels, draw_neighbors, find_neighbors

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (50, 3, 16, 16), dtype=np.uint8)
ALL = Crop()


def find(queries, images=IMAGES, *, size=16, count=3, **settings):
    batches = (images[start : start + size] for start in range(0, len(images), size))
    return find_neighbors(queries, batches, describe_pixels, count=count, **settings)


@pytest.mark.parametrize("crop", [ALL, FACE_CROP])
@pytest.mark.parametrize("mirror", [False, True])
def test_training_images_are_their_own_nearest_neighbours_at_distance_0(crop, mirror):
    for index, row in enumerate(find(IMAGES, crop=crop, mirror=mirror)):
        assert (row[0].index, row[0].distance, row[0].mirrored) == (index, 0.0, False)
        assert row[1].distance > 0


def test_neighbours_equal_a_full_search():
    queries = RNG.integers(0, 256, (7, 3, 16, 16), dtype=np.uint8)
    distances = cdist(describe_pixels(queries), describe_pixels(IMAGES))
    for row, expected in zip(find(queries, crop=ALL, count=5), distances, strict=True):
        assert [n.index for n in row] == np.argsort(expected)[:5].tolist()
        np.testing.assert_allclose([n.distance for n in row], np.sort(expected)[:5], rtol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_the_size_of_batches_changes_nothing(size):
    assert find(IMAGES[:5], size=size) == find(IMAGES[:5], size=16)


def test_a_mirrored_copy_is_found_only_when_asked_for():
    mirrored = IMAGES[10:11, :, :, ::-1]
    (row,) = find(mirrored, mirror=True, crop=ALL)
    assert (row[0].index, row[0].distance, row[0].mirrored) == (10, 0.0, True)
    assert find(mirrored, crop=ALL)[0][0].distance > 0


def test_of_duplicates_the_first_comes_first():
    images = np.concatenate([IMAGES, IMAGES[3:4]])
    (row,) = find(IMAGES[3:4], images)
    assert [n.index for n in row[:2]] == [3, 50]


def test_only_the_crop_counts():
    changed = IMAGES.copy()
    left, top, right, bottom = FACE_CROP.box(16, 16)
    inside = changed[:, :, top:bottom, left:right].copy()
    changed[:] = 255 - changed
    changed[:, :, top:bottom, left:right] = inside
    assert all(row[0].distance == 0 for row in find(changed, crop=FACE_CROP))
    assert all(row[0].distance > 0 for row in find(changed, crop=ALL))


def test_the_face_crop_holds_the_aligned_landmarks():
    """Places of eyes and mouth in an aligned face of ordinary proportions, from the alignment itself."""
    landmarks = np.array([[-50, -40], [50, -40], [0, 10], [-40, 60], [40, 60]], dtype=np.float32) + 500
    quad = compute_quad(landmarks).corners
    axes = np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1)
    places = np.linalg.solve(axes, (landmarks - quad[0]).T).T
    assert (places > [FACE_CROP.left, FACE_CROP.top]).all()
    assert (places < [FACE_CROP.right, FACE_CROP.bottom]).all()


def test_pixel_distances_are_rms_grey_levels():
    black, grey = np.zeros((1, 3, 64, 48), np.uint8), np.full((1, 3, 64, 48), 40, np.uint8)
    features = describe_pixels(np.concatenate([black, grey]))
    assert np.linalg.norm(features[1] - features[0]) == pytest.approx(40)


def test_fewer_images_than_asked_for_are_all_given():
    assert [len(row) for row in find(IMAGES[:2], IMAGES[:4], count=10)] == [4, 4]


def test_the_picture_has_a_row_for_each_neighbour():
    found = find(IMAGES[:3], count=4)
    pictures = [[(neighbor, IMAGES[neighbor.index]) for neighbor in row] for row in found]
    picture = draw_neighbors(IMAGES[:3], pictures, crop=FACE_CROP, title="pixels", thumb=160)
    assert picture.size == (504, 5 * 186 + 32)
    # The query, and below it the same image.
    pixels = np.asarray(picture)
    np.testing.assert_array_equal(pixels[6:166, 6:166], pixels[192:352, 6:166])


@pytest.mark.parametrize("sides", [(0.5, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0, 1, 1.1), (float("nan"), 0, 1, 1)])
def test_impossible_crops_are_refused(sides):
    with pytest.raises(ConfigError, match="crop"):
        Crop(*sides)
