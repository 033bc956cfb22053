"""Exports read by other readers than ours."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from celebahq_tools.errors import ConfigError, ShapeError, StoreError
from celebahq_tools.exporting import ExportConfig, run_export
from celebahq_tools.store.export import EXPORTERS
from celebahq_tools.store.labels import encode_one_hot, format_dataset_json, parse_dataset_json, save_labels
from celebahq_tools.store.writer import create_dataset

FACES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
CLASSES = [2, 0, 1, 2, 0]


class Listener:
    def __init__(self, fail_after=10**9):
        self.begun, self.seen, self.fail_after = [], 0, fail_after

    def begin_stage(self, name, *, total, done):
        self.begun.append((name, total, done))

    def advance(self, record):
        self.seen += 1
        if self.seen == self.fail_after:
            raise KeyboardInterrupt


def write_dataset(path, images=FACES, labels=None):
    with create_dataset(path, height=images.shape[1], width=images.shape[2], channels=images.shape[3]) as writer:
        for image in images:
            writer.append(image)
    if labels is not None:
        save_labels(path.with_name(f"{path.stem}-labels.npy"), labels)
    return path


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "faces.h5", labels=encode_one_hot(CLASSES, 3))


def export(file, to, out, **options):
    listener = Listener()
    count = run_export(ExportConfig(file, to, out, **options), listener)
    assert listener.begun == [(to, count, 0)]
    assert listener.seen == count
    return out


def test_png_files_hold_the_pixels_in_order_and_dataset_json_the_classes(dataset, tmp_path):
    out = export(dataset, "png", tmp_path / "png", workers=2)
    names = [f"00000/img{index:08d}.png" for index in range(5)]
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*")) == [*names, "dataset.json"]
    for name, face in zip(names, FACES, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(out / name)), face)
    assert json.loads((out / "dataset.json").read_text()) == {
        "labels": [[n, c] for n, c in zip(names, CLASSES, strict=True)]
    }


def test_the_stylegan_zip_has_the_published_layout(dataset, tmp_path):
    out = export(dataset, "stylegan-zip", tmp_path / "faces.zip", size=16)
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        # What StyleGAN's ImageFolderDataset does: every image sorted by name, labels from dataset.json by name.
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        assert names == [f"00000/img{index:08d}.png" for index in range(5)]
        labels = dict(json.loads(archive.read("dataset.json"))["labels"])
        assert [labels[name] for name in names] == CLASSES
        for name, face in zip(names, FACES, strict=True):
            with archive.open(name) as stream:
                pixels = np.asarray(Image.open(stream))
            block = face.reshape(16, 2, 16, 2, 3).astype(np.float64).mean(axis=(1, 3))
            np.testing.assert_array_equal(pixels, np.rint(block))
    again = export(dataset, "stylegan-zip", tmp_path / "again.zip", size=16)
    assert again.read_bytes() == out.read_bytes()


def test_a_dataset_without_labels_says_so_in_dataset_json(tmp_path):
    out = export(write_dataset(tmp_path / "faces.h5"), "stylegan-zip", tmp_path / "faces.zip")
    with zipfile.ZipFile(out) as archive:
        assert json.loads(archive.read("dataset.json")) == {"labels": None}


def test_the_numpy_archive_is_read_by_numpy(dataset, tmp_path):
    with np.load(export(dataset, "npz", tmp_path / "faces.npz"), allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["arr_0"], FACES)
        np.testing.assert_array_equal(archive["labels"], encode_one_hot(CLASSES, 3))


@pytest.mark.parametrize("to", ["png", "stylegan-zip"])
def test_grey_images_become_grey_files(to, tmp_path):
    grey = FACES[..., :1]
    out = export(write_dataset(tmp_path / "grey.h5", grey), to, tmp_path / ("out.zip" if to == "stylegan-zip" else "o"))
    if to == "png":
        data = (out / "00000/img00000003.png").read_bytes()
    else:
        with zipfile.ZipFile(out) as archive:
            data = archive.read("00000/img00000003.png")
    image = Image.open(io.BytesIO(data))
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), grey[3, ..., 0])


def read_framed_records(path):
    """TensorBoard's record reader, in pure Python with its own CRC-32C, which it checks."""
    from tensorboard.compat.tensorflow_stub import errors
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    reader = PyRecordReader_New(str(path))
    while True:
        try:
            reader.GetNext()
        except errors.OutOfRangeError:
            return
        yield reader.record()


def test_tfrecords_are_read_by_the_tfrecord_package_and_their_checksums_by_tensorboard(dataset, tmp_path):
    from tfrecord import example_pb2
    from tfrecord.reader import tfrecord_loader

    out = export(dataset, "tfrecords", tmp_path / "faces")
    files = [f"faces-r{level:02d}.tfrecords" for level in range(2, 6)]
    assert sorted(os.listdir(out)) == [*files, "faces-rxx.labels"]
    np.testing.assert_array_equal(np.load(out / "faces-rxx.labels"), encode_one_hot(CLASSES, 3))
    for file, side in zip(files, (4, 8, 16, 32), strict=True):
        records = list(tfrecord_loader(str(out / file), None, {"shape": "int", "data": "byte"}))
        block = 32 // side
        levels = FACES.reshape(5, side, block, side, block, 3).astype(np.float64).mean(axis=(2, 4))
        for record, level in zip(records, np.rint(levels), strict=True):
            assert record["shape"].tolist() == [3, side, side]
            pixels = np.frombuffer(record["data"], np.uint8).reshape(3, side, side)
            np.testing.assert_array_equal(pixels.transpose(1, 2, 0), level)
    messages = [example_pb2.Example.FromString(data) for data in read_framed_records(out / files[-1])]
    assert [set(message.features.feature) for message in messages] == [{"shape", "data"}] * 5


def test_tfrecords_need_all_square_levels(tmp_path):
    with pytest.raises(ShapeError, match="not 32x24 with 3 channels"):
        export(write_dataset(tmp_path / "tall.h5", FACES[:, :24]), "tfrecords", tmp_path / "t")
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("kind", ["classes", "attributes"])
def test_shards_are_read_by_the_webdataset_package(kind, tmp_path):
    import webdataset

    attributes = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    labels = encode_one_hot(CLASSES, 3) if kind == "classes" else attributes
    file = write_dataset(tmp_path / "faces.h5", labels=labels)
    out = export(file, "webdataset", tmp_path / "shards", shard_size=2)
    assert sorted(os.listdir(out)) == [f"shards-00000{shard}.tar" for shard in range(3)]
    reader = webdataset.WebDataset(str(out / "shards-{000000..000002}.tar"), shardshuffle=False).decode("rgb8")
    samples = list(reader)
    assert [sample["__key__"] for sample in samples] == [f"{index:08d}" for index in range(5)]
    np.testing.assert_array_equal([sample["png"] for sample in samples], FACES)
    if kind == "classes":
        assert [sample["cls"] for sample in samples] == CLASSES
    else:
        np.testing.assert_array_equal([sample["npy"] for sample in samples], attributes)


OUTPUTS = {"png": "o", "stylegan-zip": "o.zip", "npz": "o.npz", "tfrecords": "o", "webdataset": "o"}


def test_every_format_is_tested_for_interruption():
    assert set(OUTPUTS) == set(EXPORTERS)


@pytest.mark.parametrize(("to", "name"), OUTPUTS.items())
def test_an_interrupted_or_failing_export_leaves_what_was_there(to, name, dataset, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        run_export(ExportConfig(dataset, to, folder / name), Listener(fail_after=3))
    assert os.listdir(folder) == []
    export(dataset, to, folder / name, size=8)
    with pytest.raises(ConfigError, match="--overwrite"):
        export(dataset, to, folder / name)
    with pytest.raises(KeyboardInterrupt):
        run_export(ExportConfig(dataset, to, folder / name, overwrite=True), Listener(fail_after=3))
    assert os.listdir(folder) == [name]
    before = (folder / name).stat().st_mtime_ns
    export(dataset, to, folder / name, overwrite=True)
    assert os.listdir(folder) == [name]
    assert (folder / name).stat().st_mtime_ns != before


def test_overwriting_never_deletes_a_folder_of_other_files(dataset, tmp_path):
    out = tmp_path / "photos"
    (out / "00000").mkdir(parents=True)
    (out / "00000" / "holiday.jpg").write_text("dear")
    with pytest.raises(ConfigError, match=r"holds 00000/holiday\.jpg"):
        export(dataset, "png", out, overwrite=True)
    assert (out / "00000" / "holiday.jpg").read_text() == "dear"


def test_wrong_settings_are_refused_before_anything_is_written(dataset, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'stylegan-zip'"):
        export(dataset, "stylegan_zip", tmp_path / "x.zip")
    with pytest.raises(ShapeError, match=r"no level of size 100; pass --size with one of \[32, 16"):
        export(dataset, "png", tmp_path / "x", size=100)
    with pytest.raises(ConfigError, match=r"must be named \*\.zip"):
        export(dataset, "stylegan-zip", tmp_path / "x.tar")
    with pytest.raises(ConfigError, match="no such folder"):
        export(dataset, "png", tmp_path / "gone" / "x")
    with pytest.raises(ConfigError, match="is not a folder"):
        export(dataset, "png", dataset)
    with pytest.raises(StoreError, match="no such file"):
        export(tmp_path / "gone.h5", "png", tmp_path / "x")
    assert sorted(os.listdir(tmp_path)) == ["faces-labels.npy", "faces.h5"]


def test_stylegan_takes_only_squares_of_a_power_of_two(tmp_path):
    file = write_dataset(tmp_path / "tall.h5", FACES[:, :24])
    with pytest.raises(ShapeError, match="not 32x24; pass --to png"):
        export(file, "stylegan-zip", tmp_path / "x.zip")
    export(file, "png", tmp_path / "png")


@pytest.mark.parametrize(
    "labels",
    [
        encode_one_hot([1, 0, 2], 3),
        encode_one_hot([1, 0, 1], 4),  # the last class does not occur
        np.array([[0.1, -1], [1e-30, 3], [0, 0]], np.float32),
        np.array([[1, 1], [0, 1], [0, 0]], np.float32),
    ],
    ids=["classes", "missing last class", "numbers", "attributes"],
)
def test_labels_survive_dataset_json_to_the_last_bit(labels):
    text = format_dataset_json(["a", "b", "c"], labels)
    np.testing.assert_array_equal(parse_dataset_json(text.encode(), ["a", "b", "c"], "x"), labels)


@pytest.mark.parametrize("name", [".", ".."])
def test_the_folder_one_is_in_is_not_replaced(name, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="give the new one a name"):
        run_export(ExportConfig(dataset, "png", Path(name), overwrite=True), Listener())
