"""Planted damage of every kind is found and named; a sound file has nothing to report."""

import csv

import h5py
import numpy as np
import pytest

from celebahq_tools.store.labels import encode_one_hot, labels_path, save_labels
from celebahq_tools.store.manifest import manifest_path, write_source_manifest
from celebahq_tools.store.verify import verify_dataset
from celebahq_tools.store.writer import create_dataset

RNG = np.random.default_rng(0)
FACES = RNG.integers(0, 256, (45, 16, 16, 3), dtype=np.uint8)


class Listener:
    def __init__(self):
        self.total, self.seen = None, 0

    def begin_stage(self, name, *, total, done):
        self.total = total

    def advance(self, record):
        self.seen += 1


def verify(path, workers=2):
    listener = Listener()
    report = verify_dataset(path, listener, workers=workers)
    if report.images:
        assert listener.seen == listener.total == report.images
    return report


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "faces.h5"
    with create_dataset(path, height=16, width=16) as writer:
        for face in FACES:
            writer.append(face)
    save_labels(labels_path(path), encode_one_hot([index % 3 for index in range(45)], 3))
    with write_source_manifest(manifest_path(path)) as write_row:
        for index in range(45):
            write_row(index, f"{index}.png", "0" * 64, index)
    return path


def kinds(path):
    return verify(path).counts


def test_a_sound_dataset_is_checked_whole(dataset):
    report = verify(dataset)
    assert report.findings == ()
    assert (report.images, report.levels, report.rows) == (45, 5, 45)
    # One chunk an image at 16 and 8; 3 images to a chunk at 4, 11 at 2, 43 at 1.
    assert report.chunks == 45 + 45 + 15 + 5 + 2


def test_a_file_of_the_original_is_sound(golden):
    report = verify(golden / "h5" / "real8_128.h5")
    assert report.findings == ()
    assert (report.images, report.levels, report.rows) == (8, 8, 0)


@pytest.mark.parametrize("place", ["a pixel of a small level", "a small level", "the largest level"])
def test_a_level_that_is_not_the_mean_of_the_largest_is_named_with_its_image(place, dataset):
    with h5py.File(dataset, "r+") as file:
        if place == "a pixel of a small level":
            file["data4x4"][7, 1, 2, 3] ^= 1
            where = "data4x4"
        elif place == "a small level":
            file["data8x8"][7] = file["data8x8"][8]
            where = "data8x8"
        else:
            file["data16x16"][7] = 255 - file["data16x16"][7]
            where = "data8x8, data4x4, data2x2, data1x1"
    (finding,) = verify(dataset).findings
    assert (finding.kind, finding.where) == ("level.differs", where)
    assert "image 7 " in finding.detail


@pytest.mark.parametrize(("level", "image", "named"), [("data16x16", 9, "image 9"), ("data4x4", 10, "images 9 to 11")])
def test_a_flipped_byte_in_a_chunk_is_named_with_its_images(level, image, named, dataset):
    with h5py.File(dataset) as file:
        node = file[level]
        chunk = node.id.get_chunk_info(image // node.chunks[0])
    data = bytearray(dataset.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 4
    dataset.write_bytes(data)
    (finding,) = verify(dataset).findings
    assert (finding.kind, finding.where) == ("chunk.damaged", level)
    assert named in finding.detail


def test_a_number_of_images_that_no_file_could_hold_is_named_and_not_counted_up_to(dataset):
    with h5py.File(dataset, "r+") as file:
        file["data8x8"].resize(2**40, axis=0)
    assert kinds(dataset) == {"level.shape": 1}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(share, dataset):
    data = dataset.read_bytes()
    dataset.write_bytes(data[: int(len(data) * share)])
    assert kinds(dataset) == {"file.truncated": 1}


def test_foreign_empty_and_missing_files_are_named(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"hello")
    assert kinds(tmp_path / "x.h5") == {"file.not_hdf5": 1}
    (tmp_path / "x.h5").write_bytes(b"")
    assert kinds(tmp_path / "x.h5") == {"file.not_hdf5": 1}
    assert kinds(tmp_path / "gone.h5") == {"file.missing": 1}
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["photos"] = np.zeros(3)
    assert kinds(tmp_path / "e.h5") == {"file.empty": 1}


def test_a_missing_chunk_is_named_although_hdf5_reads_zeros_there(dataset):
    with h5py.File(dataset, "r+") as file:
        whole = file["data8x8"][:]
        del file["data8x8"]
        level = file.create_dataset(
            "data8x8", whole.shape, np.uint8, chunks=(1, 3, 8, 8), compression="gzip", compression_opts=4
        )
        for index in [*range(20), *range(21, 45)]:
            level[index] = whole[index]
    (finding,) = verify(dataset).findings
    assert (finding.kind, finding.where) == ("chunk.missing", "data8x8")
    assert "image 20 " in finding.detail


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda file: file.pop("data8x8"), {"level.missing": 1}),
        (lambda file: file["data8x8"].resize(44, axis=0), {"level.length": 1}),
        (lambda file: file.move("data8x8", "data9x9"), {"level.missing": 1, "level.shape": 1}),
    ],
)
def test_missing_short_and_misnamed_levels_are_named(change, expected, dataset):
    with h5py.File(dataset, "r+") as file:
        change(file)
    assert kinds(dataset) == expected


def test_a_level_of_another_type_is_named(dataset):
    with h5py.File(dataset, "r+") as file:
        values = file["data8x8"][:]
        del file["data8x8"]
        file["data8x8"] = values.astype(np.float32)
    assert kinds(dataset) == {"level.type": 1}


def test_levels_stored_in_another_way_are_checked_all_the_same(dataset):
    with h5py.File(dataset, "r+") as file:
        values = file["data8x8"][:]
        del file["data8x8"]
        file["data8x8"] = values
    assert verify(dataset).findings == ()
    with h5py.File(dataset, "r+") as file:
        file["data8x8"][3] ^= 255
    assert kinds(dataset) == {"level.differs": 1}


def edit_manifest(dataset, change):
    path = manifest_path(dataset)
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    change(rows)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def assign(row, column, value):
    return lambda rows: rows[row].__setitem__(column, value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: rows.pop(5), {"manifest.missing": 1}),
        (assign(5, 4, "5"), {"manifest.twice": 1, "manifest.missing": 1}),
        (assign(5, 4, "45"), {"manifest.extra": 1, "manifest.missing": 1}),
        (assign(5, 4, ""), {"manifest.malformed": 1, "manifest.missing": 1}),
        (assign(5, 3, "lost"), {"manifest.malformed": 1, "manifest.missing": 1}),
        (assign(5, 2, "abc"), {"manifest.malformed": 1, "manifest.missing": 1}),
        (assign(5, 7, "nan"), {"manifest.malformed": 1, "manifest.missing": 1}),
        (assign(5, 0, "3"), {"manifest.malformed": 1, "manifest.missing": 1}),
        (lambda rows: rows[5].pop(), {"manifest.malformed": 1, "manifest.missing": 1}),
        (lambda rows: rows[0].pop(0), {"manifest.unreadable": 1}),
    ],
)
def test_a_manifest_that_does_not_fit_is_named(change, expected, dataset):
    edit_manifest(dataset, change)
    assert kinds(dataset) == expected


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(np.zeros((44, 3), np.float32), "labels.shape"), (np.full((45, 3), np.nan, np.float32), "labels.not_finite")],
)
def test_labels_that_do_not_fit_are_named(labels, kind, dataset):
    np.save(labels_path(dataset), labels)
    assert kinds(dataset) == {kind: 1}
    labels_path(dataset).write_bytes(b"x")
    assert kinds(dataset) == {"labels.unreadable": 1}


def read_all(path):
    with h5py.File(path) as file:
        return {name: file[name][:].tobytes() for name in file}


def test_any_flipped_bit_is_reported_or_changes_no_image(tmp_path):
    """A bit anywhere: in pixels, in HDF5's own tables, in unused space."""
    dataset = tmp_path / "x.h5"
    with create_dataset(dataset, height=8, width=8) as writer:
        for face in FACES[:6, :8, :8]:
            writer.append(face)
    good, pixels = dataset.read_bytes(), read_all(dataset)
    rng = np.random.default_rng(3)
    reported = 0
    for _ in range(200):
        data = bytearray(good)
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        dataset.write_bytes(data)
        if verify(dataset, workers=1).findings:
            reported += 1
        else:
            assert read_all(dataset) == pixels
    assert reported > 20
