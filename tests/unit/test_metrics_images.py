"""Unit tests of the readers of image sets."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from celebahq_tools.errors import InputError, RejectionError, ShapeError
from celebahq_tools.pictures.canvas import save_picture
from celebahq_tools.source.image_batches import BatchReader, shrink_image
from celebahq_tools.source.images import decode_image, load_image, open_images
from celebahq_tools.store.writer import create_dataset

from .broken_zips import encrypt_last_entry

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 3, 32, 24), dtype=np.uint8)


def encode(pixels: np.ndarray, mode: str | None = None, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels, mode).save(stream, format=kind)
    return stream.getvalue()


def write_folder(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    for index, image in enumerate(IMAGES):
        place = folder / "sub" if index > 2 else folder
        (place / f"{index}.png").write_bytes(encode(image.transpose(1, 2, 0)))
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_text("not an image")
    return folder


def write_kind(kind: str, tmp_path: Path) -> Path:
    path = tmp_path / f"set.{kind}"
    if kind == "folder":
        return write_folder(tmp_path / "set")
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            for index, image in enumerate(IMAGES):
                file.writestr(f"00000/img{index:08}.png", encode(image.transpose(1, 2, 0)))
            file.writestr("dataset.json", "{}")
    elif kind == "npy":
        np.save(path, IMAGES)
    elif kind == "npz":
        np.savez(path, images=IMAGES.transpose(0, 2, 3, 1))
    else:
        with create_dataset(path, height=32, width=24) as writer:
            for image in IMAGES:
                writer.append(np.ascontiguousarray(image.transpose(1, 2, 0)))
    return path


@pytest.mark.parametrize("kind", ["folder", "zip", "npy", "npz", "h5"])
def test_every_kind_of_source_gives_the_same_pixels(kind: str, tmp_path: Path) -> None:
    source = open_images(write_kind(kind, tmp_path))
    assert len(source) == 5
    found = [batch for _, batch in BatchReader(source, workers=3).read_batches(batch_size=2)]
    assert [len(batch) for batch in found] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(found), IMAGES)
    chosen = list(BatchReader(source).read_batches([4, 1]))
    assert chosen[0][0] == [4, 1]
    np.testing.assert_array_equal(chosen[0][1], IMAGES[[4, 1]])
    source.close()


def test_the_level_of_an_hdf5_file_is_chosen_by_its_height(tmp_path: Path) -> None:
    path = write_kind("h5", tmp_path)
    assert open_images(path, height=16).load(0).shape == (3, 16, 12)
    with pytest.raises(ShapeError, match="no level of size 17; pass --size with one of 32, 16"):
        open_images(path, height=17)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 8, 8), np.float32), "float32; expected uint8"),
        (np.full((2, 3, 8, 8), np.nan), "float64; expected uint8"),
        (np.zeros((3, 8, 8), np.uint8), "neither"),
        (np.zeros((2, 4, 8, 8), np.uint8), "neither"),
    ],
)
def test_arrays_of_another_type_or_shape_are_refused(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ShapeError, match=message):
        open_images(tmp_path / "x.npy")


def test_numpy_files_never_run_code(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="not a readable numpy file"):
        open_images(tmp_path / "x.npy")


def test_missing_foreign_and_empty_paths_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        open_images(tmp_path / "nope")
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(InputError, match=r"give a folder, or a \.zip"):
        open_images(tmp_path / "x.csv")
    (tmp_path / "x.zip").write_text("")
    with pytest.raises(InputError, match=r"not a readable \.zip"):
        open_images(tmp_path / "x.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found no images"):
        open_images(tmp_path / "empty")
    np.savez(tmp_path / "two.npz", a=IMAGES, b=IMAGES)
    with pytest.raises(InputError, match="holds the arrays a, b"):
        open_images(tmp_path / "two.npz")


def test_images_with_their_labels_in_one_npz_are_taken(tmp_path):
    np.savez(tmp_path / "labelled.npz", images=IMAGES, labels=np.zeros((len(IMAGES), 2), np.float32))
    source = open_images(tmp_path / "labelled.npz")
    assert len(source) == len(IMAGES)
    np.testing.assert_array_equal(source.load(1), IMAGES[1])


def test_grey_becomes_three_equal_channels_and_opaque_alpha_is_dropped() -> None:
    rgb = IMAGES[0].transpose(1, 2, 0)
    grey = decode_image(encode(rgb[..., 0]))
    assert grey.shape == (3, 32, 24)
    assert (grey == IMAGES[0, 0]).all()
    opaque = np.dstack([rgb, np.full((32, 24), 255, np.uint8)])
    np.testing.assert_array_equal(decode_image(encode(opaque)), IMAGES[0])


def encode_deep_colours() -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow reads as if it had eight."""
    return cv2.imencode(".png", np.full((32, 24, 3), 4660, np.uint16))[1].tobytes()


def encode_separations() -> bytes:
    buffer = io.BytesIO()
    Image.new("CMYK", (24, 32)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda rgb: encode(np.dstack([rgb, np.full((32, 24), 254, np.uint8)])), "transparent pixels; flatten"),
        (lambda rgb: encode(rgb[..., 0].astype(np.uint16)), "more than 8 bits"),
        (lambda _: encode_deep_colours(), "16"),
        (lambda _: encode_separations(), "cmyk"),
        (lambda rgb: encode(rgb)[:-40], "truncated|damaged"),
    ],
    ids=["transparent", "16-bit grey", "16-bit colours", "CMYK", "cut off"],
)
def test_what_has_no_one_meaning_in_8_bits_is_rejected_with_a_reason(make, reason) -> None:
    with pytest.raises(RejectionError, match=reason):
        decode_image(make(IMAGES[0].transpose(1, 2, 0)))


def test_images_turned_by_exif_stand_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0].transpose(1, 2, 0)).save(buffer, "PNG", exif=exif)
    np.testing.assert_array_equal(decode_image(buffer.getvalue()), np.rot90(IMAGES[0], -1, axes=(1, 2)))


def test_grey_arrays_become_three_channels(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES[:, :1])
    assert (open_images(tmp_path / "x.npy").load(2) == IMAGES[2, 0]).all()


def spoil(folder: Path) -> Path:
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "2.png").write_bytes(b"no image at all")
    return folder


def test_unreadable_images_are_named_counted_and_stop_the_reading(tmp_path: Path) -> None:
    reader = BatchReader(open_images(spoil(write_folder(tmp_path / "set"))))
    with pytest.raises(InputError, match=r"2 of 5 images cannot be used \(1\.png: .*; 2\.png: .*\).*--skip-bad"):
        list(reader.read_batches(batch_size=1))


def test_unreadable_images_can_be_skipped_and_stay_named(tmp_path: Path) -> None:
    reader = BatchReader(open_images(spoil(write_folder(tmp_path / "set"))), skip_bad=True)
    found = np.concatenate([batch for _, batch in reader.read_batches()])
    np.testing.assert_array_equal(found, IMAGES[[0, 3, 4]])
    assert set(reader.bad) == {"1.png", "2.png"}


def test_two_sizes_in_one_set_are_both_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    (folder / "z.png").write_bytes(encode(np.zeros((16, 12, 3), np.uint8)))
    with pytest.raises(ShapeError, match=r"0\.png is 32x24, z\.png is 16x12 .*--resize"):
        list(BatchReader(open_images(folder)).read_batches())
    reader = BatchReader(open_images(folder), size=(16, 12))
    assert next(reader.read_batches())[1].shape == (6, 3, 16, 12)


def test_shrinking_is_antialiased_and_never_enlarges() -> None:
    stripes = np.zeros((3, 64, 64), np.uint8)
    stripes[:, :, ::2] = 255
    # Fine stripes must become even grey; without antialiasing they would stay black or white.
    assert np.abs(shrink_image(stripes, 16, 16).astype(int) - 128).max() < 12
    np.testing.assert_array_equal(shrink_image(IMAGES[0], 32, 24), IMAGES[0])
    with pytest.raises(ShapeError, match="never enlarged"):
        shrink_image(IMAGES[0], 64, 48)
    with pytest.raises(ShapeError, match="other proportions"):
        shrink_image(IMAGES[0], 16, 24)


def test_a_png_written_is_read_back(tmp_path: Path) -> None:
    save_picture(IMAGES[0].transpose(1, 2, 0), tmp_path / "x.png")
    np.testing.assert_array_equal(load_image(tmp_path / "x.png"), IMAGES[0])
    with pytest.raises(InputError, match="cannot be read"):
        load_image(tmp_path / "nope.png")
    (tmp_path / "bad.png").write_text("x")
    with pytest.raises(InputError, match=r"bad\.png: "):
        load_image(tmp_path / "bad.png")


def test_an_encrypted_image_in_a_zip_is_rejected_by_name_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("a.png", "b.png"):
            file.writestr(name, encode(np.zeros((8, 8, 3), np.uint8)))
    encrypt_last_entry(path)
    images = open_images(path)
    assert images.load(0).shape == (3, 8, 8)
    with pytest.raises(RejectionError, match=r"zip\.encrypted: needs a password"):
        images.load(1)
