"""Real images come out the same from HDF5, folder and zip, at every level; bad data is refused with a remedy."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from celebahq_tools.errors import ConfigError, InputError, StoreError
from celebahq_tools.store.layout import compute_mips
from celebahq_tools.store.writer import create_dataset
from pggan_core.config import TrainConfig
from pggan_core.data import check_images, open_source
from pggan_core.loader import Loader, Request, order_images
from pggan_core.sampling import make_grid, prepare_reals, to_pixels
from pggan_core.setup import derive_network
from pggan_core.trainer import Trainer

COUNT = 9
GOLDEN = Path(__file__).parents[1] / "golden" / "nets" / "layers.npz"


def make_images(count=COUNT, height=8, width=8, channels=3):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def write_hdf5(path, images):
    with create_dataset(path, height=images.shape[1], width=images.shape[2], channels=images.shape[3]) as writer:
        for image in images:
            writer.append(image)
    return path


def write_folder(path, images):
    path.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(path / f"{index:03}.png")
    return path


def write_zip(path, images, labels=None):
    folder = write_folder(path.with_suffix(""), images)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
        if labels is not None:
            archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return path


@pytest.mark.parametrize("write", [write_hdf5, write_folder, write_zip])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_source_gives_every_level(tmp_path, write, channels):
    images = make_images(channels=channels)
    source = open_source(write(tmp_path / "data.zip", images))
    assert (len(source), source.shape) == (COUNT, (channels, 8, 8))
    for height in (8, 4):
        expected = [next(mip for mip in compute_mips(images[i]) if mip.shape[1] == height) for i in (4, 0, 4)]
        assert np.array_equal(source.read([4, 0, 4], height), expected)


def test_missing_levels_of_an_hdf5_file_are_averaged_from_larger_ones(tmp_path):
    import h5py

    images = make_images()
    with h5py.File(write_hdf5(tmp_path / "data.h5", images), "a") as file:
        del file["data4x4"]
    expected = [mip for mip in compute_mips(images[2]) if mip.shape[1] == 4]
    assert np.array_equal(open_source(tmp_path / "data.h5").read([2], 4), expected)


def write_labelled_folder(path, images, labels):
    folder = write_folder(path.with_suffix(""), images)
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder


@pytest.mark.parametrize("write", [write_zip, write_labelled_folder])
def test_class_numbers_of_dataset_json_become_one_hot(tmp_path, write):
    labels = [[f"{index:03}.png", index % 3] for index in range(COUNT)]
    source = open_source(write(tmp_path / "data.zip", make_images(), labels[::-1]))
    assert np.array_equal(source.labels, np.eye(3)[np.arange(COUNT) % 3])


@pytest.mark.parametrize("write", [write_zip, write_labelled_folder])
def test_vectors_of_dataset_json_are_labels_as_they_are(tmp_path, write):
    vectors = np.random.default_rng(1).random((COUNT, 4), dtype=np.float32)
    labels = [[f"{index:03}.png", vector] for index, vector in enumerate(vectors.tolist())]
    source = open_source(write(tmp_path / "data.zip", make_images(), labels))
    assert source.labels.dtype == np.float32
    assert np.array_equal(source.labels, vectors)


@pytest.mark.parametrize("write", [write_zip, write_labelled_folder])
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1], "none for .* images, 001.png among them; complete it or remove it"),
        ([[0, 1]] * (COUNT - 1) + [[1]], "neither class numbers nor finite vectors of one length"),
        ([0] * (COUNT - 1) + [[1]], "neither class numbers"),
        ([-1] * COUNT, "class numbers must lie in"),
        (["cat"] * COUNT, "neither class numbers"),
        ([[float("nan")]] * COUNT, "finite vectors"),
    ],
    ids=["images left out", "lengths", "kinds", "negative", "words", "not finite"],
)
def test_wrong_labels_of_dataset_json_are_refused(tmp_path, write, values, reason):
    labels = [[f"{index:03}.png", value] for index, value in enumerate(values)]
    with pytest.raises(InputError, match=f"dataset.json: .*{reason}"):
        open_source(write(tmp_path / "data.zip", make_images(), labels))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("cached", [True, False])
def test_loader_gives_the_planned_images_mirrored_half_the_time(tmp_path, monkeypatch, workers, cached):
    if not cached:
        monkeypatch.setattr("pggan_core.loader.CACHE_BYTES", 0)
    images = make_images()
    path = write_folder(tmp_path / "data", images)

    def plan(request):
        return Request(request.cursor + 4, 4, 8) if request.cursor < 40 else None

    with Loader(path, open_source(path), seed=5, mirror=True, plan=plan, workers=workers) as loader:
        flipped = 0
        for cursor in range(0, 40, 4):
            batch = loader.take(Request(cursor, 4, 8))
            for got, index in zip(batch.pixels, order_images(np.arange(cursor, cursor + 4), COUNT, 5), strict=True):
                straight = images[index].transpose(2, 0, 1)
                assert np.array_equal(got, straight) or np.array_equal(got, straight[..., ::-1])
                flipped += not np.array_equal(got, straight)
    assert 8 <= flipped <= 32  # Of 40; a fair coin leaves this range once in 20,000 seeds, and the seed is fixed.


def test_loader_follows_a_request_that_was_not_planned(tmp_path):
    path = write_folder(tmp_path / "data", make_images())
    with Loader(path, open_source(path), seed=5, mirror=False, plan=lambda r: Request(r.cursor + 4, 4, 8)) as loader:
        loader.take(Request(0, 4, 8))
        batch = loader.take(Request(100, 2, 4))
    expected = open_source(path).read(order_images(np.arange(100, 102), COUNT, 5).tolist(), 4)
    assert np.array_equal(batch.pixels, expected)


@pytest.mark.parametrize("lod", ["0.00", "0.25", "1.00", "1.60"])
def test_reals_are_faded_as_in_the_original(lod):
    missing, fraction = int(float(lod)), float(lod) % 1
    with np.load(GOLDEN) as stored:
        got = prepare_reals(torch.from_numpy(stored["pr_in"]), 1 - fraction)
        full = got.repeat_interleave(2**missing, 2).repeat_interleave(2**missing, 3)
        # float32 arithmetic on values up to 1.
        np.testing.assert_allclose(full.numpy(), stored[f"pr_lod{lod}"], atol=2e-6)


def test_pixels_survive_the_way_to_the_networks_and_back():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert np.array_equal(to_pixels(prepare_reals(pixels, 1.0)), pixels.numpy())


def test_grid_places_images_row_by_row_and_leaves_the_rest_black():
    images = np.arange(1, 4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 2), np.uint8)
    grid = make_grid(images, 2)
    assert grid.shape == (4, 4, 3)
    assert grid[::2, ::2, 0].tolist() == [[1, 2], [3, 0]]


def derive(path, **settings):
    return derive_network(TrainConfig(data=str(path), **settings), open_source(path))


def test_dataset_smaller_than_the_resolution_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"smaller than the resolution 1024.*pass --resolution 8"):
        derive(write_folder(tmp_path / "d", make_images()), resolution=1024, batch=4)


def test_resolution_between_the_levels_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="not one of this dataset's: 4, 8"):
        derive(write_folder(tmp_path / "d", make_images()), resolution=6, batch=4)


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds 9 images, fewer than a minibatch of 16"):
        derive(write_folder(tmp_path / "d", make_images()))


def test_wrong_channel_count_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"have 2 channels; 1 .* or 3"):
        derive(write_hdf5(tmp_path / "d.h5", make_images(channels=2)), batch=4)


def test_non_power_of_two_is_refused(tmp_path):
    with pytest.raises(Exception, match="and 12 is not; resize or crop to 8 or 16"):
        derive(write_folder(tmp_path / "d", make_images(height=12, width=12)), batch=4)


def test_labels_are_required_for_conditional_training(tmp_path):
    with pytest.raises(ConfigError, match="needs labels"):
        derive(write_folder(tmp_path / "d", make_images()), batch=4, conditional=True)


def test_missing_empty_foreign_and_damaged_data_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        open_source(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        open_source(tmp_path / "empty")
    (tmp_path / "foreign.h5").write_bytes(b"not a dataset")
    with pytest.raises(StoreError, match="not a readable HDF5 file"):
        open_source(tmp_path / "foreign.h5")


def shorten(path):
    path.write_bytes(path.read_bytes()[:-30])


def make_transparent(path):
    Image.fromarray(make_images(1, channels=4)[0]).save(path)


def turn_over(path):
    """Write an animation of two frames."""
    first, second = (Image.fromarray(image) for image in make_images(2))
    first.save(path, save_all=True, append_images=[second])


def make_deep(path):
    Image.fromarray(make_images(1)[0, ..., 0].astype(np.uint16)).save(path)


SPOILED = {
    "not a picture": (lambda path: path.write_bytes(b"no"), "not_an_image"),
    "empty": (lambda path: path.write_bytes(b""), "zero bytes"),
    "cut off": (shorten, "(truncated|broken)"),
    "transparent": (make_transparent, "has transparent pixels"),
    "16 bits": (make_deep, "more than 8 bits"),
    "animated": (turn_over, "2 frames"),
    "small": (
        lambda path: Image.fromarray(make_images(1, 4, 4)[0]).save(path),
        "is 4x4 with 3 .* first image 8x8 with 3",
    ),
    "grey": (
        lambda path: Image.fromarray(make_images(1)[0, ..., 0]).save(path),
        "is 8x8 with 1 .* first image 8x8 with 3",
    ),
}
LATE = ("cut off", "transparent")


@pytest.mark.parametrize("fault", SPOILED)
@pytest.mark.parametrize("zipped", [False, True])
def test_unusable_images_are_named_with_their_reason(tmp_path, fault, zipped):
    spoil, reason = SPOILED[fault]
    folder = write_folder(tmp_path / "d", make_images())
    spoil(folder / "001.png")
    if zipped:
        shutil.make_archive(str(folder), "zip", folder)
    source = open_source(folder.with_suffix(".zip") if zipped else folder)
    with pytest.raises(InputError, match=rf"001\.png.*{reason}.*; move them away"):
        source.read([1], 8)
    if fault in LATE:
        # Nothing of it shows at the beginning of the file.
        check_images(source)
    else:
        with pytest.raises(InputError, match=rf"(?s)^1 of 9 images cannot be trained on; move.*001\.png.*{reason}"):
            check_images(source)


def test_training_does_not_begin_on_unusable_images_and_names_not_too_many(tmp_path):
    folder = write_folder(tmp_path / "d", make_images(40))
    for index in range(5, 30):
        (folder / f"{index:03}.png").write_bytes(b"")
    with pytest.raises(InputError, match="25 of 40 images cannot be trained on") as raised:
        Trainer(TrainConfig(data=str(folder), batch=4), tmp_path / "run")
    assert "024.png" in str(raised.value)
    assert "025.png" not in str(raised.value)
    assert str(raised.value).endswith("and 5 more")


def test_hidden_files_are_no_images(tmp_path):
    # macOS leaves one beside every file that it packs.
    path = write_zip(tmp_path / "data.zip", make_images())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("._000.png", b"attributes")
    assert len(open_source(path)) == COUNT


def test_images_behind_long_metadata_are_found_usable(tmp_path):
    folder = write_folder(tmp_path / "d", make_images())
    note = PngInfo()
    note.add_text("note", "x" * 300_000)
    Image.fromarray(make_images(1)[0]).save(folder / "001.png", pnginfo=note)
    assert (folder / "001.png").stat().st_size > 300_000
    check_images(open_source(folder))


def test_damaged_table_in_a_zip_is_refused(tmp_path):
    path = write_zip(tmp_path / "data.zip", make_images(), list(range(COUNT)))
    data = path.read_bytes()
    path.write_bytes(data.replace(b'{"labels": [0', b'{"labels": [7'))
    with pytest.raises(InputError, match=r"dataset\.json in it cannot be read \(Bad CRC"):
        open_source(path)
