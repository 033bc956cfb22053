"""Generated images on disk: what is read back, what other programs expect, and nothing half-written."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from celebahq_tools.errors import InputError
from celebahq_tools.source.images import open_images
from celebahq_tools.store.image_sinks import open_sink
from celebahq_tools.store.reader import DatasetReader
from pggan_core.data import open_source

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (11, 3, 8, 16), dtype=np.uint8)
CLASSES = np.arange(11) % 3


def write(path, images=IMAGES, classes=None, **settings):
    labels = 0 if classes is None else 3
    with open_sink(path, count=len(images), shape=images.shape[1:], labels=labels, **settings) as sink:
        for start in range(0, len(images), 4):
            part = slice(start, start + 4)
            sink.append(images[part], None if classes is None else classes[part])


@pytest.mark.parametrize("name", ["out", "out.zip", "out.h5"])
def test_images_come_back_as_they_were_in_both_of_our_readers(tmp_path, name):
    write(tmp_path / name)
    source = open_images(tmp_path / name)
    np.testing.assert_array_equal(np.stack([source.load(i) for i in range(len(source))]), IMAGES)
    source.close()
    np.testing.assert_array_equal(open_source(tmp_path / name).read(range(11), 8), IMAGES)


@pytest.mark.parametrize("name", ["out.zip", "out.h5"])
def test_labels_come_back(tmp_path, name):
    write(tmp_path / name, classes=CLASSES)
    np.testing.assert_array_equal(open_source(tmp_path / name).labels, np.eye(3)[CLASSES])


def test_the_archive_has_stylegans_layout_and_the_folder_the_same(tmp_path):
    write(tmp_path / "out.zip", classes=CLASSES)
    write(tmp_path / "out", classes=CLASSES)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = archive.namelist()
        assert names == [f"00000/img{number:08d}.png" for number in range(11)] + ["dataset.json"]
        # StyleGAN's reader wants them uncompressed.
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        labels = json.loads(archive.read("dataset.json"))["labels"]
        assert labels == [[name, index % 3] for index, name in enumerate(names[:-1])]
        for name in names:
            assert (tmp_path / "out" / name).read_bytes() == archive.read(name)


def test_the_thousandth_image_begins_a_new_folder(tmp_path):
    write(tmp_path / "out.zip", np.zeros((1001, 1, 1, 1), np.uint8))
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist()[-2] == "00001/img00001000.png"
        assert json.loads(archive.read("dataset.json")) == {"labels": None}


def test_the_same_images_give_the_same_archive(tmp_path):
    for name in ("a.zip", "b.zip"):
        write(tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_dataset_has_all_levels_and_what_was_said_about_it(tmp_path):
    write(tmp_path / "out.h5", attributes={"drawn": "{}"})
    with DatasetReader(tmp_path / "out.h5") as reader:
        assert reader.shapes == [(3, 8, 16), (3, 4, 8), (3, 2, 4), (3, 1, 2)]
        assert reader.attributes == {"drawn": "{}"}


def test_a_grid_shows_images_row_by_row(tmp_path):
    write(tmp_path / "grid.png", columns=4)
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    assert grid.shape == (24, 64, 3)
    np.testing.assert_array_equal(grid[8:16, 16:32], IMAGES[5].transpose(1, 2, 0))
    assert not grid[16:, 48:].any()


def test_grey_images_stay_grey(tmp_path):
    for name in ("out", "out.png"):
        write(tmp_path / name, IMAGES[:, :1])
    assert Image.open(tmp_path / "out" / "00000" / "img00000000.png").mode == "L"
    assert Image.open(tmp_path / "out.png").mode == "L"


@pytest.mark.parametrize("name", ["out", "out.zip", "out.h5", "out.png"])
def test_an_error_leaves_nothing_behind(tmp_path, name):
    with pytest.raises(RuntimeError), open_sink(tmp_path / name, count=11, shape=(3, 8, 16)) as sink:
        sink.append(IMAGES[:4])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "keep").touch()
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "keep"]
    (tmp_path / "out" / "keep").unlink()
    write(tmp_path / "out")
    assert (tmp_path / "out" / "dataset.json").is_file()


def test_impossible_targets_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        write(tmp_path / "no" / "out.zip")
    with (
        pytest.raises(InputError, match="lower --num to 256"),
        open_sink(Path(tmp_path / "g.png"), count=257, shape=(3, 1024, 1024), columns=1),
    ):
        pass
