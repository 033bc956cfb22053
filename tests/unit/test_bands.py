"""Large levels lie in bands; whatever the size, plain h5py and our reader see the same pixels, and damage is named."""

import multiprocessing
import zlib
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from celebahq_tools.errors import ShapeError, StoreError
from celebahq_tools.reselection import run_reselect
from celebahq_tools.store.bands import BAND_BYTES, choose_bands, list_bands
from celebahq_tools.store.description import describe_dataset
from celebahq_tools.store.encoding import (
    decode_level,
    decode_planes,
    encode_face,
    load_encoded,
    load_level,
    map_streams,
    save_encoded,
)
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.layout import choose_chunk, compute_mips, name_level
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.store.verify import verify_dataset
from celebahq_tools.store.writer import create_dataset

RNG = np.random.default_rng(4)


class Silent:
    def begin_stage(self, name, *, total, done):
        pass

    def advance(self, record):
        pass


def make_faces(count, height, width, channels=3):
    return RNG.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def write(path, faces, compression="gzip"):
    with create_dataset(
        path, height=faces.shape[1], width=faces.shape[2], channels=faces.shape[3], compression=compression
    ) as writer:
        writer.extend(faces, threads=2)
    return path


@pytest.fixture(scope="module")
def faces():
    return make_faces(3, 512, 512)


@pytest.fixture
def dataset(faces, tmp_path):
    return write(tmp_path / "faces.h5", faces)


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [
        ((3, 1024, 1024), (1, 1, 256, 1024)),
        ((3, 512, 512), (1, 1, 512, 512)),
        ((3, 256, 256), (1, 3, 256, 256)),
        ((3, 4, 4), (3, 3, 4, 4)),
        ((1, 512, 512), (1, 1, 512, 512)),
        ((3, 1021, 1019), (1, 1, 256, 1019)),
        ((3, 2, 300_000), (1, 1, 1, 300_000)),
    ],
)
def test_bands_are_rows_of_one_channel_and_small_levels_are_as_the_originals(shape, chunk):
    assert choose_bands(*shape) == chunk
    if chunk[1:] == shape:
        assert chunk == choose_chunk(*shape)


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [((3, 1021, 1019), (1, 256, 1019)), ((3, 7, 5), (2, 3, 2)), ((1, 4, 4), (1, 4, 4)), ((3, 5, 5), (3, 8, 8))],
)
def test_bands_cover_every_pixel_once(shape, chunk):
    seen = np.zeros(shape, int)
    for band in list_bands(shape, chunk):
        seen[band.area] += 1
        assert all(start % step == 0 for start, step in zip(band.place, chunk, strict=True))
    assert (seen == 1).all()


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(
    ("height", "width", "channels"), [(1024, 1024, 3), (520, 520, 1), (601, 603, 3), (520, 1030, 3), (512, 512, 3)]
)
def test_plain_h5py_and_the_reader_see_the_pixels_that_were_written(height, width, channels, threads, tmp_path):
    faces = make_faces(2, height, width, channels)
    path = write(tmp_path / "x.h5", faces)
    assert choose_bands(channels, height, width)[1:] != (channels, height, width)
    mips = [compute_mips(face) for face in faces]
    with h5py.File(path) as file, DatasetReader(path, threads=threads) as reader:
        for level in zip(*mips, strict=True):
            _, high, wide = level[0].shape
            np.testing.assert_array_equal(file[name_level(high, wide)][:], level)
            np.testing.assert_array_equal(reader.read([1, 0, 1], height=high), [level[1], level[0], level[1]])
            np.testing.assert_array_equal(reader.read(-1, height=high), level[1])
    assert verify_dataset(path, Silent()).findings == ()
    assert describe_dataset(path).differences == ()


def test_a_file_with_one_chunk_an_image_is_read_and_sound(faces, dataset, tmp_path):
    old = tmp_path / "old.h5"
    with h5py.File(dataset) as file, h5py.File(old, "w") as copy:
        for name, level in file.items():
            chunk = choose_chunk(*level.shape[1:])
            growing = (None, *level.shape[1:])
            copy.create_dataset(name, data=level[:], maxshape=growing, chunks=chunk, compression="gzip")
    with DatasetReader(old) as reader:
        np.testing.assert_array_equal(reader.read([2, 0]), faces[[2, 0]].transpose(0, 3, 1, 2))
    assert verify_dataset(old, Silent()).findings == ()
    assert describe_dataset(old).differences == ()


@pytest.mark.parametrize("options", [{}, {"userblock_size": 512}, {"driver": "stdio"}])
@pytest.mark.parametrize("chunk", [(1, 2, 100, 200), (1, 1, 30, 30), (2, 3, 128, 300), (1, 3, 300, 150), None])
def test_whatever_chunks_another_program_chose_are_read_alike_and_checked(chunk, options, tmp_path):
    path = tmp_path / "foreign.h5"
    images = make_faces(3, 300, 300).transpose(0, 3, 1, 2)
    with h5py.File(path, "w", **options) as file:
        for mip in zip(*(compute_mips(image.transpose(1, 2, 0)) for image in images), strict=True):
            name = name_level(*mip[0].shape[1:])
            if mip[0].shape[1] == 300 and chunk:
                file.create_dataset(name, data=np.stack(mip), chunks=chunk, compression="gzip")
            else:
                file[name] = np.stack(mip)
    with DatasetReader(path, threads=2) as reader:
        np.testing.assert_array_equal(reader.read([2, 1]), images[[2, 1]])
    assert verify_dataset(path, Silent()).findings == ()


def test_a_band_that_was_never_written_or_not_compressed_is_read_as_hdf5_reads_it(tmp_path):
    path = tmp_path / "x.h5"
    image = make_faces(1, 512, 512)[0].transpose(2, 0, 1)
    with h5py.File(path, "w") as file:
        level = file.create_dataset(
            "data512x512", (1, 3, 512, 512), np.uint8, chunks=(1, 1, 512, 512), compression="gzip", fillvalue=7
        )
        level.id.write_direct_chunk((0, 0, 0, 0), zlib.compress(image[0].tobytes()))
        level.id.write_direct_chunk((0, 2, 0, 0), image[2].tobytes(), filter_mask=1)
    with DatasetReader(path, threads=2) as reader, h5py.File(path) as file:
        read = reader.read(0)
        np.testing.assert_array_equal(read, [image[0], np.full_like(image[1], 7), image[2]])
        np.testing.assert_array_equal(read, file["data512x512"][0])


class _Counting:
    """A level of h5py that counts what it is asked for."""

    def __init__(self, level):
        self._level = level
        self.read, self.listed = 0, 0

    def read_direct_chunk(self, place):
        self.read += 1
        return self._level.read_direct_chunk(place)

    def chunk_iter(self, note):
        self.listed += 1
        return self._level.chunk_iter(note)


@pytest.fixture
def long_level(tmp_path):
    """Forty images in bands: a tenth of them is four."""
    images = make_faces(40, 128, 128).transpose(0, 3, 1, 2)
    path = tmp_path / "long.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data128x128", data=images, chunks=(1, 1, 128, 128), compression="gzip")
    return path, images


def test_chunks_are_listed_once_when_a_tenth_of_a_level_was_read_and_never_sought_one_by_one(long_level):
    path, images = long_level
    with DatasetReader(path, threads=2) as reader:
        streams = reader._find_streams((3, 128, 128))
        counting = streams._id = _Counting(streams._id)  # knows no get_chunk_info_by_coord
        for index, listed, by_hdf5 in [(5, 0, 3), (39, 0, 6), (0, 0, 9), (38, 1, 9), (20, 1, 9), (5, 1, 9)]:
            np.testing.assert_array_equal(reader.read(index), images[index])
            assert (counting.listed, counting.read) == (listed, by_hdf5)


def test_an_index_that_cannot_be_gone_through_leaves_reading_to_hdf5(long_level):
    path, images = long_level
    with DatasetReader(path, threads=2) as reader:
        streams = reader._find_streams((3, 128, 128))
        counting = streams._id = _Counting(streams._id)

        def fail(note):
            raise RuntimeError("damaged")

        counting.chunk_iter = fail
        np.testing.assert_array_equal(reader.read(range(8)), images[:8])
        np.testing.assert_array_equal(reader.read(9), images[9])
        assert counting.read == 27


def read_and_answer(reader, queue):
    queue.put(reader.read([7, 3]).sum(axis=(1, 2, 3)).tolist())


def test_a_reader_works_on_in_a_forked_process(long_level):
    path, images = long_level
    context = multiprocessing.get_context("fork")
    with DatasetReader(path, threads=2) as reader:
        reader.read(range(8))  # the threads that read are there, and the chunks are listed
        queue = context.Queue()
        child = context.Process(target=read_and_answer, args=(reader, queue))
        child.start()
        assert queue.get(timeout=60) == images[[7, 3]].sum(axis=(1, 2, 3)).tolist()
        child.join()
        np.testing.assert_array_equal(reader.read(9), images[9])


@pytest.mark.parametrize("count", [3, 50])
def test_a_level_without_any_chunk_reads_as_hdf5_reads_it(tmp_path, count):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data128x128", (count, 3, 128, 128), np.uint8, chunks=(1, 3, 128, 128), compression="gzip")
    with DatasetReader(path, threads=2) as reader:
        for index in range(count):
            assert not reader.read(index).any()


def test_addresses_and_indices_that_are_damaged_are_refused_and_not_raised(long_level):
    path, images = long_level
    with DatasetReader(path, threads=2) as reader:
        streams = reader._find_streams((3, 128, 128))
        counting = streams._id = _Counting(streams._id)
        counting.get_num_chunks = counting._level.get_num_chunks

        def note_far_away(note):
            note(SimpleNamespace(chunk_offset=(0, 0, 0, 0), byte_offset=0x90 << 56, size=9, filter_mask=0))

        def fail(place):
            raise RuntimeError("damaged index")

        counting.chunk_iter = note_far_away
        np.testing.assert_array_equal(reader.read(range(8)), images[:8])
        counting.read_direct_chunk = counting.get_chunk_info_by_coord = fail
        with pytest.raises(StoreError, match="damaged data in /data128x128: a chunk that cannot be read"):
            reader.read(9)


@pytest.mark.parametrize("size", [40_000, 2**31])
def test_a_chunk_that_is_said_to_lie_beyond_the_file_is_refused(long_level, size):
    path, _ = long_level
    with DatasetReader(path, threads=2) as reader:
        reader.read(range(8))
        listed = reader._find_streams((3, 128, 128))._listed
        listed._sizes[3, 1] = size
        listed._offsets[3, 1] = path.stat().st_size - 100
        with pytest.raises(StoreError, match=f"damaged data in /data128x128: a chunk of {size} bytes"):
            reader.read(3)


def test_damaged_bands_are_named_each_and_the_reader_names_the_level(faces, dataset):
    data = bytearray(dataset.read_bytes())
    with h5py.File(dataset) as file:
        for channel in (0, 2):
            chunk = file["data512x512"].id.get_chunk_info_by_coord((1, channel, 0, 0))
            data[chunk.byte_offset + chunk.size // 2] ^= 4
    dataset.write_bytes(data)
    findings = verify_dataset(dataset, Silent()).findings
    assert [(one.kind, one.where, one.chunk) for one in findings] == [("chunk.damaged", "data512x512", 1)] * 2
    assert "image 1, channel 0, rows 0 to 511" in findings[0].detail
    assert "image 1, channel 2, rows 0 to 511" in findings[1].detail
    with DatasetReader(dataset, threads=2) as reader:
        np.testing.assert_array_equal(reader.read([0, 2]), faces[[0, 2]].transpose(0, 3, 1, 2))
        with pytest.raises(StoreError, match="damaged data in /data512x512"):
            reader.read([0, 1])


def test_a_missing_band_is_named(dataset):
    with h5py.File(dataset, "r+") as file:
        whole = file["data512x512"][:]
        del file["data512x512"]
        level = file.create_dataset("data512x512", whole.shape, np.uint8, chunks=(1, 1, 512, 512), compression="gzip")
        for place in np.ndindex(3, 3):
            if place != (2, 1):
                level[place] = whole[place]
    (finding,) = verify_dataset(dataset, Silent()).findings
    assert (finding.kind, finding.where, finding.chunk) == ("chunk.missing", "data512x512", 2)
    assert "image 2, channel 1, rows 0 to 511" in finding.detail


def test_a_stream_of_another_length_than_its_band_is_refused(faces, dataset):
    with h5py.File(dataset, "r+") as file:
        level = file["data512x512"]
        level.id.write_direct_chunk((0, 1, 0, 0), zlib.compress(bytes(BAND_BYTES - 1)))
        level.id.write_direct_chunk((1, 1, 0, 0), bytes(BAND_BYTES - 1), filter_mask=1)
    with DatasetReader(dataset) as reader:
        for index in (0, 1):
            with pytest.raises(StoreError, match="damaged data in /data512x512"):
                reader.read(index)
    assert [one.kind for one in verify_dataset(dataset, Silent()).findings] == ["chunk.damaged"] * 2


def test_a_waiting_face_holds_the_streams_of_the_bands(faces, tmp_path):
    path = tmp_path / "face.npz"
    save_encoded(path, encode_face(faces[0]))
    face = load_encoded(path)
    assert list(map_streams(3, 512, 512)) == ["data512x512.0", "data512x512.1", "data512x512.2"]
    for channel, name in enumerate(map_streams(3, 512, 512)):
        assert zlib.decompress(face[name].tobytes()) == faces[0, :, :, channel].tobytes()
    np.testing.assert_array_equal(decode_level(face, "data512x512"), faces[0])
    np.testing.assert_array_equal(load_level(path, 300), faces[0])
    np.testing.assert_array_equal(load_level(path, 200), compute_mips(faces[0])[1].transpose(1, 2, 0))


def test_a_waiting_face_of_before_the_bands_is_shown_but_never_written(faces, tmp_path):
    path = tmp_path / "face.npz"
    old = {name: level for name, level in encode_face(faces[0]).items() if "." not in name}
    old["data512x512"] = np.frombuffer(zlib.compress(compute_mips(faces[0])[0].tobytes()), np.uint8)
    save_encoded(path, old)
    np.testing.assert_array_equal(load_level(path, 512), faces[0])
    with create_dataset(tmp_path / "x.h5", height=512, width=512) as writer:
        with pytest.raises(ShapeError, match=r"expected levels .*data512x512\.0"):
            writer.append_encoded(load_encoded(path))
        writer.append(faces[0])


@pytest.mark.parametrize("compression", ["none", "lzf"])
def test_other_compressions_take_the_streams_of_bands_and_keep_whole_images(faces, compression, tmp_path):
    path = tmp_path / "x.h5"
    with create_dataset(path, height=512, width=512, compression=compression) as writer:
        writer.append_encoded(encode_face(faces[0]))
        writer.append(faces[1])
    with h5py.File(path) as file:
        assert file["data512x512"].chunks == (1, 3, 512, 512)
        np.testing.assert_array_equal(file["data512x512"][:], faces[:2].transpose(0, 3, 1, 2))


def test_a_face_without_one_of_its_bands_is_refused(faces, tmp_path):
    face = encode_face(faces[0])
    del face["data512x512.1"]
    with create_dataset(tmp_path / "x.h5", height=512, width=512) as writer:
        with pytest.raises(ShapeError, match="expected levels"):
            writer.append_encoded(face)
        assert len(writer) == 0
    with pytest.raises(KeyError):
        decode_planes(face, 3, 512, 512)


def test_a_file_cut_short_behind_the_readers_back_is_an_error_and_not_rubbish(dataset):
    with DatasetReader(dataset, threads=2) as reader:
        with h5py.File(dataset) as file:
            chunk = file["data512x512"].id.get_chunk_info_by_coord((2, 2, 0, 0))
        with dataset.open("r+b") as stream:
            stream.truncate(chunk.byte_offset + chunk.size // 2)
        with pytest.raises(StoreError, match="damaged data"):
            reader.read(2)


def test_faces_that_wait_as_streams_of_another_kind_are_not_chosen_again(tmp_path):
    work = tmp_path / "x.h5.work"
    work.mkdir()
    with Journal(work / "journal.sqlite") as journal:
        journal.bind_settings({"size": "512", "streams": "zlib (libdeflate 1)"})
        journal.begin_run({"keep": 1, "out": str(tmp_path / "x.h5")})
    with pytest.raises(StoreError, match=r"faces wait as zlib \(libdeflate 1\)"):
        run_reselect(work, keep=1, out=None, duplicates="off", overwrite=False, listener=Silent())
    assert not (tmp_path / "x.h5").exists()


def test_a_level_that_lies_in_another_file_is_read_from_there(long_level, tmp_path):
    path, images = long_level
    master = tmp_path / "master.h5"
    with h5py.File(master, "w") as file:
        file["data128x128"] = h5py.ExternalLink(path.name, "data128x128")
    with DatasetReader(master, threads=2) as reader:
        for index in range(len(images)):
            np.testing.assert_array_equal(reader.read(index), images[index])


def test_a_mask_is_not_taken_for_indices(long_level):
    path, images = long_level
    with DatasetReader(path, threads=2) as reader, pytest.raises(IndexError, match=r"np\.flatnonzero"):
        reader.read(np.ones(len(images), bool))
