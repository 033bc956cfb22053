import os
import zlib

import h5py
import numpy as np
import pytest

from celebahq_tools.errors import ShapeError, StoreError
from celebahq_tools.store.encoding import decode_level, encode_face, load_encoded, save_encoded
from celebahq_tools.store.layout import compute_mips, list_levels
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.store.streams import compress_stream, decompress_stream
from celebahq_tools.store.writer import create_dataset

FACES = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "faces.h5"
    with create_dataset(path, height=64, width=64, attributes={"note": "test"}) as writer:
        for face in FACES:
            writer.append(face)
    return path


def test_every_level_is_the_cascaded_mean_of_the_full_resolution_rounded_once(dataset):
    with h5py.File(dataset) as file:
        assert sorted(file) == sorted(f"data{r}x{r}" for r in (64, 32, 16, 8, 4, 2, 1))
        exact = FACES.transpose(0, 3, 1, 2).astype(np.float64)
        for side in (64, 32, 16, 8, 4, 2, 1):
            level = file[f"data{side}x{side}"]
            # A cascade of 2x2 means is the mean of one large block; float32 holds these dyadic fractions exactly.
            block = 64 // side
            means = exact.reshape(5, 3, side, block, side, block).mean(axis=(3, 5))
            np.testing.assert_array_equal(level[:], np.rint(means).astype(np.uint8))
            assert level.maxshape == (None, 3, side, side)
            assert (level.compression, level.compression_opts) == ("gzip", 4)
            assert dict(level.attrs) == {}


def test_the_layout_equals_that_of_a_file_written_by_the_original(dataset, golden):
    with h5py.File(golden / "h5" / "real8_128.h5") as theirs, h5py.File(dataset) as ours:
        for name in ours:
            assert ours[name].chunks == theirs[name].chunks
            assert ours[name].dtype == theirs[name].dtype


def test_levels_made_from_the_originals_full_resolution_equal_its_levels(golden):
    with h5py.File(golden / "h5" / "real8_128.h5") as file:
        for index in range(8):
            for mip in compute_mips(file["data128x128"][index].transpose(1, 2, 0)):
                np.testing.assert_array_equal(mip, file[f"data{mip.shape[1]}x{mip.shape[1]}"][index])


def test_the_reader_reads_a_file_of_the_original(golden):
    with DatasetReader(golden / "h5" / "real8_128.h5") as reader:
        assert len(reader) == 8
        assert reader.shapes == [(3, r, r) for r in (128, 64, 32, 16, 8, 4, 2, 1)]
        assert reader.read(3).shape == (3, 128, 128)
        assert reader.labels is None


def test_the_reader_takes_any_order_and_repeats(dataset):
    with DatasetReader(dataset) as reader:
        batch = reader.read([4, 0, 4])
        np.testing.assert_array_equal(batch, FACES[[4, 0, 4]].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(reader.read(slice(1, 3), height=64), FACES[1:3].transpose(0, 3, 1, 2))
        assert reader.read([], height=8).shape == (0, 3, 8, 8)
        assert reader.attributes == {"note": "test"}
        with pytest.raises(IndexError):
            reader.read([5])
        with pytest.raises(ShapeError, match=r"no level of height 7; it holds \[64, 32"):
            reader.read(0, height=7)


def test_labels_beside_the_file_are_read_and_checked(dataset):
    labels = np.eye(5, 3, dtype=np.float32)
    path = dataset.with_name("faces-labels.npy")
    np.save(path, labels)
    with DatasetReader(dataset) as reader:
        np.testing.assert_array_equal(reader.labels, labels)
    np.save(path, labels[:4])
    with pytest.raises(StoreError, match="do not match 5 images"):
        DatasetReader(dataset)
    path.write_bytes(b"no array")
    with pytest.raises(StoreError, match="not a readable label file"):
        DatasetReader(dataset)


def test_two_writes_of_the_same_faces_are_byte_identical(dataset, tmp_path):
    again = tmp_path / "again.h5"
    with create_dataset(again, height=64, width=64, attributes={"note": "test"}) as writer:
        for face in FACES:
            writer.append_encoded(encode_face(face))
    assert again.read_bytes() == dataset.read_bytes()


@pytest.mark.parametrize("threads", [1, 3, None])
def test_a_file_is_the_same_for_any_number_of_writing_threads(dataset, tmp_path, threads):
    again = tmp_path / "again.h5"
    with create_dataset(again, height=64, width=64, attributes={"note": "test"}) as writer:
        writer.extend((face for face in FACES), threads=threads)
    assert again.read_bytes() == dataset.read_bytes()


def test_a_wrong_image_among_many_is_refused_after_those_before_it(tmp_path):
    with create_dataset(tmp_path / "x.h5", height=64, width=64) as writer:
        with pytest.raises(ShapeError, match="expected an image of shape"):
            writer.extend([FACES[0], FACES[1], FACES[2, :32]], threads=2)
        assert len(writer) == 2


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("filters", [{}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True}, "skipped"])
def test_files_of_any_filters_are_read_alike(tmp_path, filters, threads):
    path = tmp_path / "foreign.h5"
    images = FACES.transpose(0, 3, 1, 2)
    with h5py.File(path, "w") as file:
        options = {"compression": "gzip"} if filters == "skipped" else filters
        level = file.create_dataset("data64x64", images.shape, np.uint8, chunks=(1, 3, 64, 64), **options)
        level[:4] = images[:4]
        if filters == "skipped":
            # Bit 0 says that the first filter was not applied to this chunk.
            level.id.write_direct_chunk((1, 0, 0, 0), images[1].tobytes(), filter_mask=1)
    with DatasetReader(path, threads=threads) as reader:
        np.testing.assert_array_equal(reader.read([3, 1, 1]), images[[3, 1, 1]])
        np.testing.assert_array_equal(reader.read(-2), images[3])
        # Never written: HDF5 gives the fill value.
        np.testing.assert_array_equal(reader.read([4, 0]), np.stack([np.zeros_like(images[4]), images[0]]))
        np.testing.assert_array_equal(reader.read(slice(None, None, -2)), [images[4] * 0, images[2], images[0]])


@pytest.mark.parametrize("chunk", [None, (1, 3, 8, 8), (4, 3, 8, 8), (9, 3, 4, 8)])
@pytest.mark.parametrize("wanted", [[], [8], [0, 1, 2], [7, 2, 2, 0], [8, 4, 5, 3], list(range(9)), [0, 3, 4, 7]])
def test_any_images_of_any_chunks_come_in_the_order_asked_for(chunk, wanted, tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (9, 3, 8, 8), dtype=np.uint8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("data8x8", data=images, chunks=chunk, compression="lzf" if chunk else None)
    with DatasetReader(tmp_path / "x.h5") as reader:
        np.testing.assert_array_equal(reader.read(wanted), images[wanted])


def test_streams_are_zlibs_own_and_damage_is_noticed():
    data = FACES.tobytes()
    stream = compress_stream(data)
    assert zlib.decompress(stream) == data
    assert decompress_stream(zlib.compress(data, 9), len(data)) == data
    for bad, size in [(stream[:-9], len(data)), (stream, len(data) - 1), (stream, len(data) + 1), (b"", 5)]:
        with pytest.raises(StoreError, match="zlib stream"):
            decompress_stream(bad, size)


def test_levels_equal_the_cascade_in_float32_for_every_shape():
    rng = np.random.default_rng(1)
    for shape in [(1024, 1024, 3), (96, 64, 3), (64, 128, 1), (7, 8, 3), (2, 2, 4)]:
        # Few different values: many means lie half way between two, where rounding shows.
        pixels = rng.integers(0, 3, shape, dtype=np.uint8)
        current = pixels.transpose(2, 0, 1).astype(np.float32)
        for mip in compute_mips(pixels):
            np.testing.assert_array_equal(mip, np.rint(current).astype(np.uint8))
            height, width = current.shape[1] // 2, current.shape[2] // 2
            if height and width:
                blocks = current[:, : 2 * height, : 2 * width]
                tops, bottoms = blocks[:, 0::2], blocks[:, 1::2]
                current = (tops[:, :, 0::2] + tops[:, :, 1::2] + bottoms[:, :, 0::2] + bottoms[:, :, 1::2]) / 4


def test_an_interrupted_write_leaves_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), create_dataset(tmp_path / "x.h5", height=64, width=64) as writer:
        writer.append(FACES[0])
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_face_of_another_size_is_refused(tmp_path):
    with create_dataset(tmp_path / "x.h5", height=64, width=64) as writer:
        with pytest.raises(ShapeError):
            writer.append(FACES[0, :32])
        with pytest.raises(ShapeError):
            writer.append_encoded(encode_face(FACES[0, :32, :32]))
        with pytest.raises(ShapeError):
            writer.append_encoded(encode_face(np.zeros((128, 128, 3), np.uint8)))
        assert len(writer) == 0


@pytest.mark.parametrize("damage", ["text", "half", "foreign", "unequal", "float", "empty"])
def test_a_foreign_or_damaged_file_is_refused_with_its_name(dataset, damage):
    if damage == "text":
        dataset.write_text("hello")
    elif damage == "empty":
        dataset.write_bytes(b"")
    elif damage == "half":
        dataset.write_bytes(dataset.read_bytes()[: dataset.stat().st_size // 2])
    else:
        with h5py.File(dataset, "r+" if damage == "unequal" else "w") as file:
            if damage == "foreign":
                file["images"] = np.zeros((2, 3, 4, 4), np.uint8)
            elif damage == "unequal":
                file["data64x64"].resize(4, axis=0)
            else:
                file["data4x4"] = np.zeros((2, 3, 4, 4), np.float32)
    with pytest.raises(StoreError, match=r"faces\.h5"):
        DatasetReader(dataset)


@pytest.mark.parametrize("bad", [b"d\xff\xfea4x4", b"data\xff\xff4"])
def test_a_damaged_name_of_a_level_is_named(dataset, bad):
    data = dataset.read_bytes()
    assert data.count(b"data4x4") == 1
    dataset.write_bytes(data.replace(b"data4x4", bad))
    with pytest.raises(StoreError, match=r"faces\.h5: damaged name"):
        DatasetReader(dataset)


def test_a_damaged_chunk_is_reported_with_its_level(dataset):
    with h5py.File(dataset) as file:
        chunk = file["data64x64"].id.get_chunk_info(2)
    data = bytearray(dataset.read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + 400] = bytes(400)
    dataset.write_bytes(data)
    with DatasetReader(dataset) as reader:
        reader.read([0, 1, 3])
        with pytest.raises(StoreError, match="damaged data in /data64x64"):
            reader.read([2])


def test_an_encoded_face_survives_the_disk_and_its_damage_is_noticed(tmp_path):
    path = tmp_path / "face.npz"
    save_encoded(path, encode_face(FACES[0]))
    face = load_encoded(path)
    np.testing.assert_array_equal(decode_level(face, "data64x64"), FACES[0])
    np.testing.assert_array_equal(decode_level(face, "data1x1"), compute_mips(FACES[0])[-1].transpose(1, 2, 0))
    data = bytearray(path.read_bytes())
    data[3000] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"face\.npz: damaged"):
        load_encoded(path)
    with pytest.raises(StoreError, match="missing"):
        load_encoded(tmp_path / "gone.npz")


def test_levels_of_rectangles_stop_at_the_first_odd_side():
    assert list_levels(160, 128) == [(160, 128), (80, 64), (40, 32), (20, 16), (10, 8), (5, 4)]
    assert list_levels(7, 8) == [(7, 8)]
    with pytest.raises(ShapeError):
        list_levels(0, 8)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_only_images_have_levels(bad):
    with pytest.raises(ShapeError):
        compute_mips(bad)
