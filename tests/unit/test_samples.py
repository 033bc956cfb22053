import io

import numpy as np
import pytest
from PIL import Image
from skimage.transform import SimilarityTransform

from celebahq_tools.errors import InputError
from celebahq_tools.source import samples
from celebahq_tools.source.celeba import list_celeba
from celebahq_tools.source.photo import check_landmarks, decode_photo, read_photo_file
from celebahq_tools.source.samples import PORTRAITS, VARIATIONS, Variation, render_variation, write_sample_folder


def test_the_folder_reads_back_as_celeba_with_two_planted_rejections(tmp_path):
    count = write_sample_folder(tmp_path / "photos")
    items = list_celeba(tmp_path / "photos")
    assert count == len(VARIATIONS) == len(items) - 2
    assert [item.problem is None for item in items] == [True] * (count + 1) + [False]
    for item in items[:count]:
        pixels = decode_photo(read_photo_file(item.path)[0])
        check_landmarks(item.landmarks, width=pixels.shape[1], height=pixels.shape[0])


def test_no_variation_shows_the_empty_corners_of_a_rotation():
    for variation in VARIATIONS:
        data, points = render_variation(variation)
        width, height = Image.open(io.BytesIO(data)).size
        portrait = PORTRAITS[variation.portrait]
        # The points tell the map back to the portrait: none of the file's corners may come from outside it.
        back = SimilarityTransform.from_estimate(points, portrait.landmarks)
        corners = back(np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)]))
        assert (corners > -3).all(), variation
        assert (corners < np.array(portrait.load().size) + 2).all(), variation


def test_landmarks_follow_the_picture_through_rotation_and_cut():
    straight, points = render_variation(Variation("hopper", 1.0, 95))
    turned, moved = render_variation(Variation("hopper", 1.0, 95, angle=10, reach=(2, 2, 2, 2)))
    a, b = (np.array(Image.open(io.BytesIO(data)).convert("L"), float) for data in (straight, turned))
    eyes = points[1] - points[0], moved[1] - moved[0]
    turn = np.degrees(np.arctan2(*eyes[0][::-1]) - np.arctan2(*eyes[1][::-1]))
    assert turn == pytest.approx(10, abs=1e-6)
    for before, after in zip(points, moved, strict=True):
        (x, y), (u, v) = before.round().astype(int), after.round().astype(int)
        assert abs(a[y - 2 : y + 3, x - 2 : x + 3].mean() - b[v - 2 : v + 3, u - 2 : u + 3].mean()) < 8


def test_the_portraits_are_there_and_their_landmarks_lie_inside():
    for portrait in PORTRAITS.values():
        image = portrait.load()
        assert image.mode == "RGB"
        assert (portrait.landmarks >= 0).all()
        assert (portrait.landmarks < image.size).all()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="not an empty folder"):
        write_sample_folder(tmp_path)


def test_an_interrupted_folder_leaves_nothing(tmp_path, monkeypatch):
    def fail(variation):
        raise KeyboardInterrupt

    monkeypatch.setattr(samples, "render_variation", fail)
    with pytest.raises(KeyboardInterrupt):
        write_sample_folder(tmp_path / "new" / "photos")
    assert not list((tmp_path / "new").iterdir())
