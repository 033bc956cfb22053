"""Round trips through every format, and the published data sets in the form they come in."""

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
from celebahq_cli.celebahq_import import KINDS
from PIL import Image

from celebahq_tools.errors import ConfigError, InputError
from celebahq_tools.exporting import ExportConfig, run_export
from celebahq_tools.importing import ImportConfig, NothingImportedError, fit_image, run_import
from celebahq_tools.source.importers import IMPORTERS
from celebahq_tools.source.importers.base import ImportRequest
from celebahq_tools.source.importers.cifar10 import CLASSES
from celebahq_tools.source.importers.plain_pickle import load_plain_pickle
from celebahq_tools.store.labels import encode_one_hot, labels_path, save_labels
from celebahq_tools.store.manifest import manifest_path, read_manifest
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.store.writer import create_dataset

RNG = np.random.default_rng(0)
FACES = RNG.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


class Listener:
    def __init__(self, fail_after=10**9):
        self.records, self.total, self.fail_after = [], None, fail_after

    def begin_stage(self, name, *, total, done):
        self.total = total

    def advance(self, record):
        self.records.append(record)
        if len(self.records) == self.fail_after:
            raise KeyboardInterrupt


def bring_in(source, kind, out, *, size=None, channels=None, limit=None, workers=2, overwrite=False, **request):
    listener = Listener()
    config = ImportConfig(ImportRequest(source, **request), kind, out, size, channels, limit, workers, overwrite)
    summary = run_import(config, listener)
    assert len(listener.records) == listener.total == summary.found
    assert sum(record is None for record in listener.records) == summary.kept
    return summary


def write_dataset(path, images, labels=None):
    with create_dataset(path, height=images.shape[1], width=images.shape[2], channels=images.shape[3]) as writer:
        for image in images:
            writer.append(image)
    if labels is not None:
        save_labels(labels_path(path), labels)
    return path


def read_images(path):
    with DatasetReader(path) as reader:
        return reader.read(slice(None)).transpose(0, 2, 3, 1), reader.labels


IMAGES = {"RGB": FACES, "grey": FACES[..., :1]}
LABELS = {
    "classes": encode_one_hot([2, 0, 1, 2, 0, 1, 1], 3),
    "a class that no image has": encode_one_hot([0, 1, 0, 1, 0, 1, 0], 3),
    "attributes": RNG.normal(size=(7, 5)).astype(np.float32),
    "none": None,
}
WAYS = {
    "png": ("folder", "out"),
    "stylegan-zip": ("zip", "out.zip"),
    "npz": ("npz", "out.npz"),
    "tfrecords": ("tfrecords", "out"),
    "webdataset": ("webdataset", "out"),
}


@pytest.mark.parametrize("label_kind", LABELS)
@pytest.mark.parametrize("image_kind", IMAGES)
@pytest.mark.parametrize("to", WAYS)
def test_a_dataset_comes_back_from_every_format_with_the_same_bytes(to, image_kind, label_kind, tmp_path):
    images, labels = IMAGES[image_kind], LABELS[label_kind]
    kind, name = WAYS[to]
    first = write_dataset(tmp_path / "first.h5", images, labels)
    run_export(ExportConfig(first, to, tmp_path / name, shard_size=3, workers=2), Listener())
    second = tmp_path / "second.h5"
    assert bring_in(tmp_path / name, kind, second).kept == 7
    pixels, found = read_images(second)
    np.testing.assert_array_equal(pixels, images)
    np.testing.assert_array_equal(found, labels)
    with h5py.File(first) as a, h5py.File(second) as b:
        assert list(a) == list(b)
        for level in a:
            np.testing.assert_array_equal(a[level][:], b[level][:])
    rows = read_manifest(manifest_path(second))
    assert [int(row["dataset_index"]) for row in rows] == list(range(7))
    assert {row["status"] for row in rows} == {"kept"}


def test_every_format_is_tested_and_every_kind_can_be_chosen():
    from celebahq_tools.store.export import EXPORTERS

    assert set(WAYS) == set(EXPORTERS)
    assert set(KINDS) == set(IMPORTERS)


def test_the_number_of_threads_does_not_change_a_byte(tmp_path):
    np.save(tmp_path / "x.npy", FACES)
    for workers in (1, 3):
        bring_in(tmp_path / "x.npy", "npz", tmp_path / f"{workers}.h5", workers=workers)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "3.h5").read_bytes()


def test_images_are_cut_to_the_middle_square_and_reduced_with_antialiasing(tmp_path):
    wide = np.asarray(Image.fromarray(FACES[0]).resize((96, 64)))
    fitted = fit_image(wide, 16, None)
    expected = Image.fromarray(wide[:, 16:80]).resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(fitted, np.asarray(expected))
    # A stripe pattern at the limit of the large image must vanish in the small one, not alias.
    stripes = np.tile(np.array([[[0]], [[255]]], np.uint8), (32, 64, 3))
    assert fit_image(stripes, 16, None)[2:-2].std() < 1
    np.testing.assert_array_equal(fit_image(FACES[0, ..., :1], None, 3), np.repeat(FACES[0, ..., :1], 3, axis=2))


def test_an_interrupted_import_leaves_what_was_there(tmp_path):
    np.save(tmp_path / "x.npy", FACES)
    folder = tmp_path / "out"
    folder.mkdir()
    config = ImportConfig(ImportRequest(tmp_path / "x.npy"), "npz", folder / "a.h5", workers=1)
    with pytest.raises(KeyboardInterrupt):
        run_import(config, Listener(fail_after=4))
    assert os.listdir(folder) == []


def test_an_import_without_labels_removes_those_of_the_dataset_it_replaces(tmp_path):
    out = write_dataset(tmp_path / "a.h5", FACES, LABELS["classes"])
    np.save(tmp_path / "x.npy", FACES[:2])
    with pytest.raises(ConfigError, match="--overwrite"):
        bring_in(tmp_path / "x.npy", "npz", out)
    bring_in(tmp_path / "x.npy", "npz", out, overwrite=True)
    assert read_images(out)[1] is None
    assert not labels_path(out).exists()


def test_limit_takes_the_first_images_with_their_labels(tmp_path):
    np.savez(tmp_path / "x.npz", images=FACES, labels=np.array([3, 1, 0, 0, 0, 0, 0]))
    bring_in(tmp_path / "x.npz", "npz", tmp_path / "a.h5", limit=2)
    pixels, labels = read_images(tmp_path / "a.h5")
    np.testing.assert_array_equal(pixels, FACES[:2])
    np.testing.assert_array_equal(labels, encode_one_hot([3, 1], 4))


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (FACES, FACES),
        (FACES.transpose(0, 3, 1, 2), FACES),
        (FACES[..., 0], FACES[..., :1]),
        (FACES[..., :1], FACES[..., :1]),
    ],
    ids=["NHWC", "NCHW", "NHW", "NHW1"],
)
@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_arrays_of_every_layout_are_read(images, expected, save, tmp_path):
    name = "x.npy" if save is np.save else "x.npz"
    save(tmp_path / name, images)
    bring_in(tmp_path / name, "npz", tmp_path / "a.h5")
    np.testing.assert_array_equal(read_images(tmp_path / "a.h5")[0], expected)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (FACES.astype(np.float32), "scale, round and clip"),
        (np.asfortranarray(FACES), "Fortran"),
        (FACES[0, 0], "none of"),
        (np.zeros((2, 4, 4, 4), np.uint8), "none of"),
        (np.array([{"a": 1}], dtype=object), "object"),
        (np.zeros((0, 4, 4, 3), np.uint8), "no pixels"),
    ],
    ids=["float", "fortran", "2-D", "4 channels", "pickled objects", "none"],
)
def test_arrays_that_are_no_images_are_refused(array, message, tmp_path):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        bring_in(tmp_path / "x.npy", "npz", tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()


def test_an_array_whose_header_asks_for_more_than_there_is_is_refused_unread(tmp_path):
    with (tmp_path / "x.npy").open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 32, 32, 3)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(bytes(100))
    with pytest.raises(InputError, match="holds 100 bytes"):
        bring_in(tmp_path / "x.npy", "npz", tmp_path / "a.h5")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.write(tmp_path / "x.npy", "images.npy")
    with pytest.raises(InputError, match="holds 100 bytes"):
        bring_in(tmp_path / "x.npz", "npz", tmp_path / "a.h5")


def test_labels_that_do_not_fit_are_refused_with_a_way_out(tmp_path):
    np.savez(tmp_path / "x.npz", images=FACES, labels=np.arange(3))
    with pytest.raises(InputError, match=r"3 labels for 7 images; pass --no-labels"):
        bring_in(tmp_path / "x.npz", "npz", tmp_path / "a.h5")
    assert bring_in(tmp_path / "x.npz", "npz", tmp_path / "a.h5", use_labels=False).classes == 0
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(FACES[0]).save(folder / "a.png")
    Image.fromarray(FACES[1]).save(folder / "b.png")
    for text in ('{"labels": [["a.png", 0]]}', '{"labels": [["a.png", 0], ["b.png", [1, 2]]]}', "[", '{"labels": 3}'):
        (folder / "dataset.json").write_text(text)
        with pytest.raises(InputError, match=r"dataset\.json"):
            bring_in(folder, "folder", tmp_path / "b.h5")
    assert bring_in(folder, "folder", tmp_path / "b.h5", use_labels=False).kept == 2


def test_labels_of_rejected_images_are_left_out(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, face in zip("abc", FACES, strict=False):
        Image.fromarray(face).save(folder / f"{name}.png")
    (folder / "b.png").write_text("broken")
    (folder / "dataset.json").write_text(json.dumps({"labels": [["a.png", 0], ["b.png", 1], ["c.png", 2]]}))
    summary = bring_in(folder, "folder", tmp_path / "a.h5")
    assert summary.rejected == {"decode.not_an_image": 1}
    pixels, labels = read_images(tmp_path / "a.h5")
    np.testing.assert_array_equal(pixels, FACES[[0, 2]])
    np.testing.assert_array_equal(labels, encode_one_hot([0, 2], 3))


# --- TFRecords of others


def test_tfrecords_written_by_the_tfrecord_package_are_read(tmp_path):
    from tfrecord.writer import TFRecordWriter

    writer = TFRecordWriter(str(tmp_path / "x-r05.tfrecords"))
    for face in FACES:
        pixels = face.transpose(2, 0, 1)
        writer.write({"shape": (list(pixels.shape), "int"), "data": (pixels.tobytes(), "byte")})
    writer.close()
    bring_in(tmp_path / "x-r05.tfrecords", "tfrecords", tmp_path / "a.h5")
    np.testing.assert_array_equal(read_images(tmp_path / "a.h5")[0], FACES)


def test_a_damaged_record_is_rejected_and_the_others_are_kept(tmp_path):
    run_export(
        ExportConfig(write_dataset(tmp_path / "a.h5", FACES), "tfrecords", tmp_path / "tf"),
        Listener(),
    )
    path = tmp_path / "tf" / "tf-r05.tfrecords"
    data = bytearray(path.read_bytes())
    size = len(data) // 7
    data[2 * size + 500] ^= 1
    path.write_bytes(data)
    summary = bring_in(path, "tfrecords", tmp_path / "b.h5")
    assert summary.rejected == {"tfrecord.damaged": 1}
    np.testing.assert_array_equal(read_images(tmp_path / "b.h5")[0], np.delete(FACES, 2, axis=0))
    data[3 * size] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="wrong checksum at byte"):
        bring_in(path, "tfrecords", tmp_path / "c.h5")
    path.write_bytes(data[: 2 * size + 100])
    with pytest.raises(InputError, match="cut short"):
        bring_in(path, "tfrecords", tmp_path / "c.h5")
    with pytest.raises(InputError, match="several datasets"):
        (path.parent / "other-r03.tfrecords").touch()
        bring_in(path.parent, "tfrecords", tmp_path / "c.h5")


# --- Published data sets


def test_aligned_celeba_is_cut_around_89_121_with_its_attributes(tmp_path):
    folder = tmp_path / "celeba"
    images = folder / "img_align_celeba"
    images.mkdir(parents=True)
    faces = RNG.integers(0, 256, (3, 218, 178, 3), dtype=np.uint8)
    rows = ["3", "Bald Smiling Young"]
    for index, face in enumerate(faces):
        Image.fromarray(face).save(images / f"00000{index + 1}.png")
        rows.append(f"00000{index + 1}.png " + " ".join("1" if index == k else "-1" for k in range(3)))
    Image.fromarray(faces[0, :100]).save(images / "000009.png")
    rows.append("000009.png 1 1 1")
    (folder / "list_attr_celeba.txt").write_text("\n".join(rows) + "\n")
    summary = bring_in(folder, "celeba-aligned", tmp_path / "a.h5")
    assert (summary.shape, summary.rejected) == ((3, 128, 128), {"size.not_aligned_celeba": 1})
    pixels, labels = read_images(tmp_path / "a.h5")
    # 128 pixels around x 89, y 121: columns 25 to 152, rows 57 to 184.
    np.testing.assert_array_equal(pixels, faces[:, 57:185, 25:153])
    np.testing.assert_array_equal(labels, np.eye(3))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["label_names"] == "Bald Smiling Young"
    lines = ["image_id,Bald,Smiling,Young", *(",".join(row.split()) for row in rows[2:])]
    (folder / "list_attr_celeba.txt").unlink()
    (folder / "list_attr_celeba.csv").write_text("\n".join(lines))
    bring_in(folder, "celeba-aligned", tmp_path / "b.h5", size=64)
    pixels, again = read_images(tmp_path / "b.h5")
    assert pixels.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(again, labels)
    (folder / "list_attr_celeba.csv").write_text("\n".join(lines[:2]))
    with pytest.raises(InputError, match=r"no row for 3 images, 000002\.png among them"):
        bring_in(folder, "celeba-aligned", tmp_path / "c.h5")


def test_lsun_is_cut_to_the_middle_square_and_reduced_to_256(tmp_path):
    import io

    import lmdb

    photo = np.asarray(Image.fromarray(FACES[0]).resize((400, 300), Image.Resampling.BICUBIC))
    with lmdb.open(str(tmp_path / "tower_lmdb"), map_size=2**24) as database, database.begin(write=True) as txn:
        for number in range(4):
            stream = io.BytesIO()
            Image.fromarray(np.roll(photo, number * 50, axis=1)).save(stream, "WEBP", lossless=True)
            txn.put(f"key{3 - number}".encode(), stream.getvalue())
        txn.put(b"key8", b"not an image")
        small = io.BytesIO()
        Image.fromarray(photo[:200]).save(small, "WEBP")
        txn.put(b"key9", small.getvalue())
    summary = bring_in(tmp_path / "tower_lmdb", "lsun-lmdb", tmp_path / "a.h5")
    assert summary.rejected == {"decode.not_an_image": 1, "size.small": 1}
    pixels, labels = read_images(tmp_path / "a.h5")
    assert labels is None
    for found, number in zip(pixels, (3, 2, 1, 0), strict=True):
        square = np.roll(photo, number * 50, axis=1)[:, 50:350]
        expected = Image.fromarray(square).resize((256, 256), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(found, np.asarray(expected))
    assert bring_in(tmp_path / "tower_lmdb", "lsun-lmdb", tmp_path / "b.h5", size=64, limit=2).shape == (3, 64, 64)
    data = tmp_path / "tower_lmdb" / "data.mdb"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    with pytest.raises(InputError, match="cut short"):
        bring_in(tmp_path / "tower_lmdb", "lsun-lmdb", tmp_path / "c.h5")
    data.write_bytes(b"hello" * 3000)
    with pytest.raises(InputError, match="not a readable LMDB"):
        bring_in(tmp_path / "tower_lmdb", "lsun-lmdb", tmp_path / "c.h5")


CIFAR = RNG.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
CIFAR_CLASSES = [index % 10 for index in range(20)]


def write_cifar_binary(folder):
    folder.mkdir()
    for batch in range(5):
        part = slice(4 * batch, 4 * batch + 4)
        records = [bytes([c]) + image.tobytes() for c, image in zip(CIFAR_CLASSES[part], CIFAR[part], strict=True)]
        (folder / f"data_batch_{batch + 1}.bin").write_bytes(b"".join(records))
    (folder / "test_batch.bin").write_bytes(bytes([7]) + CIFAR[3].tobytes())


def pickle_as_python_2_did(images, classes):
    """The published batches: protocol 2, byte strings, numpy's old module names."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def number(value):
        return b"K" + bytes([value])

    data = images.tobytes()
    return b"".join(
        [
            *(b"\x80\x02}q\x01(", text(b"data"), b"q\x02cnumpy.core.multiarray\n_reconstruct\nq\x03"),
            *(b"cnumpy\nndarray\nq\x04", number(0), b"\x85q\x05", text(b"b"), b"\x87Rq\x06("),
            *(number(1), b"J" + struct.pack("<i", len(images)), b"M\x00\x0c\x86cnumpy\ndtype\nq\x07"),
            *(text(b"u1"), number(0), number(1), b"\x87Rq\x08(", number(3), text(b"|"), b"NNN"),
            *(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff", number(0), b"tb", b"\x89", b"T" + struct.pack("<i", len(data))),
            *(data, b"tb", text(b"labels"), b"]q\x09(", *map(number, classes), b"e"),
            *(text(b"batch_label"), text(b"training batch 1 of 5"), b"u."),
        ]
    )


def test_our_stand_in_for_a_python_2_pickle_is_read_by_pickle_itself():
    batch = pickle.loads(pickle_as_python_2_did(CIFAR[:4], [0, 1, 2, 3]), encoding="latin1")
    np.testing.assert_array_equal(batch["data"], CIFAR[:4].reshape(4, -1))
    assert batch["labels"] == [0, 1, 2, 3]


@pytest.mark.parametrize("version", ["binary", "python"])
def test_cifar10_is_read_in_the_order_of_its_batches(version, tmp_path):
    if version == "binary":
        write_cifar_binary(tmp_path / "cifar-10-batches-bin")
    else:
        (tmp_path / "cifar-10-batches-py").mkdir()
        for batch in range(5):
            part = slice(4 * batch, 4 * batch + 4)
            path = tmp_path / "cifar-10-batches-py" / f"data_batch_{batch + 1}"
            path.write_bytes(pickle_as_python_2_did(CIFAR[part], CIFAR_CLASSES[part]))
    summary = bring_in(tmp_path, "cifar10", tmp_path / "a.h5")
    assert (summary.kept, summary.classes) == (20, 10)
    pixels, labels = read_images(tmp_path / "a.h5")
    np.testing.assert_array_equal(pixels, CIFAR.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(labels, encode_one_hot(CIFAR_CLASSES, 10))
    assert read_manifest(manifest_path(tmp_path / "a.h5"))[5]["file"] == "data_batch_2/1"
    with h5py.File(tmp_path / "a.h5") as file:
        assert tuple(file.attrs["label_names"].split()) == CLASSES
    if version == "binary":
        assert bring_in(tmp_path, "cifar10", tmp_path / "b.h5", part="test").kept == 1
        (tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin").write_bytes(b"abc")
        with pytest.raises(InputError, match="not whole records"):
            bring_in(tmp_path, "cifar10", tmp_path / "c.h5")


@pytest.mark.parametrize("protocol", range(5))  # numpy has other instructions for protocol 5, younger than CIFAR-10
def test_plain_pickles_of_protocols_0_to_4_are_read_like_pickle_reads_them(protocol):
    batch = {
        "data": np.arange(24, dtype=np.uint8).reshape(4, 6),
        "floats": np.arange(6, dtype=">f4").reshape(3, 2).T,
        "labels": [1, 2, 300, 70000, -5, 2**40],
        "names": ("a", "é", b"raw\xff"),
        "nested": {"empty": [], "none": None, "yes": True, "no": False, "half": 0.5},
    }
    found = load_plain_pickle(pickle.dumps(batch, protocol))
    for name in ("data", "floats"):
        np.testing.assert_array_equal(found.pop(name), batch.pop(name))
    assert found == batch


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_run_code_is_refused_without_running_it(protocol, tmp_path):
    write_cifar_binary(tmp_path / "cifar")
    for file in (tmp_path / "cifar").iterdir():
        file.with_suffix("").write_bytes(pickle.dumps({"data": Attack(tmp_path / "owned")}, protocol))
        file.unlink()
    with pytest.raises(InputError, match="only plain data and numpy arrays"):
        bring_in(tmp_path / "cifar", "cifar10", tmp_path / "a.h5")
    assert not (tmp_path / "owned").exists()


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_damaged_pickles_end_in_a_value_error():
    good = pickle_as_python_2_did(CIFAR[:2], [0, 1])
    rng = np.random.default_rng(5)
    outcomes = set()
    for _ in range(600):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            # Mostly the instructions at both ends, the pixels between them are only data.
            place = int(rng.integers(0, 160)) if rng.random() < 0.7 else len(data) - int(rng.integers(1, 80))
            data[place] = int(rng.integers(256))
        if rng.random() < 0.2:
            data = data[: int(rng.integers(len(data)))]
        try:
            load_plain_pickle(bytes(data))
            outcomes.add("read")
        except ValueError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def write_idx(path, array):
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.fixture
def mnist(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    digits = RNG.integers(0, 256, (12, 28, 28), dtype=np.uint8)
    classes = np.arange(12, dtype=np.uint8) % 10
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", digits if part == "train" else digits[:3])
        write_idx(folder / f"{part}-labels-idx1-ubyte", classes if part == "train" else classes[:3])
    return folder, digits, classes


def test_mnist_is_padded_by_two_to_32_and_labelled(mnist, tmp_path):
    folder, digits, classes = mnist
    summary = bring_in(folder, "mnist", tmp_path / "a.h5")
    assert summary.shape == (1, 32, 32)
    pixels, labels = read_images(tmp_path / "a.h5")
    np.testing.assert_array_equal(pixels[:, 2:30, 2:30, 0], digits)
    assert not pixels[:, [0, 1, 30, 31]].any()
    assert not pixels[:, :, [0, 1, 30, 31]].any()
    np.testing.assert_array_equal(labels, encode_one_hot(classes, 10))
    assert bring_in(folder, "mnist", tmp_path / "b.h5", part="test").kept == 3


def test_mnist_rgb_stacks_seeded_random_triples(mnist, tmp_path):
    folder, digits, classes = mnist
    names = ("a.h5", "b.h5", "c.h5")
    for name, seed in zip(names, (4, 4, 5), strict=True):
        bring_in(folder, "mnist-rgb", tmp_path / name, count=50, seed=seed, use_labels=True)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    pixels, labels = read_images(tmp_path / "a.h5")
    assert not np.array_equal(pixels, read_images(tmp_path / "c.h5")[0])
    padded = np.pad(digits, ((0, 0), (2, 2), (2, 2)))
    used = set()
    for image, label, row in zip(pixels, labels, read_manifest(manifest_path(tmp_path / "a.h5")), strict=True):
        triple = [int(number) for number in row["file"].removeprefix("train/").split("+")]
        used |= set(triple)
        np.testing.assert_array_equal(image, padded[triple].transpose(1, 2, 0))
        assert label.argmax() == int("".join(str(classes[number]) for number in triple))
    assert used == set(range(12))
    assert bring_in(folder, "mnist-rgb", tmp_path / "d.h5", count=5).classes == 0


def test_a_source_that_is_not_there_is_named(tmp_path):
    for kind in IMPORTERS:
        with pytest.raises(InputError, match="gone"):
            bring_in(tmp_path / "gone", kind, tmp_path / "a.h5")
    assert os.listdir(tmp_path) == []


def test_nothing_usable_leaves_a_manifest_and_no_dataset(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_text("x")
    with pytest.raises(NothingImportedError, match=r"1 decode\.not_an_image\); reasons in .*a\.manifest\.csv"):
        bring_in(folder, "folder", tmp_path / "a.h5")
    assert sorted(os.listdir(tmp_path)) == ["a.manifest.csv", "photos"]


def test_nothing_usable_leaves_the_dataset_before_and_its_manifest(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    bring_in(folder, "folder", tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes(), (tmp_path / "a.manifest.csv").read_bytes()
    (folder / "a.png").write_text("x")
    with pytest.raises(NothingImportedError, match=r"reasons in .*a\.rejected\.csv"):
        bring_in(folder, "folder", tmp_path / "a.h5", overwrite=True)
    assert ((tmp_path / "a.h5").read_bytes(), (tmp_path / "a.manifest.csv").read_bytes()) == before


def test_samples_of_a_shard_without_an_image_are_listed(tmp_path):
    image = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(image, "PNG")
    members = ["00.png", "00.cls", "face.001.png", "02.tif", "03.json", "04.seg.png", "04.png", "04.cls"]
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        for name in members:
            data = b"1" if name.endswith("cls") else image.getvalue()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            shard.addfile(entry, io.BytesIO(data))
    summary = bring_in(tmp_path / "a.tar", "webdataset", tmp_path / "a.h5")
    assert (summary.found, summary.kept, summary.rejected) == (5, 2, {"tar.no_image": 3})
    np.testing.assert_array_equal(np.load(tmp_path / "a-labels.npy"), [[0, 1], [0, 1]])
    assert "its members end in .001.png" in (tmp_path / "a.manifest.csv").read_text()
