"""Every kind of damaged, odd or hostile file through `import --kind folder` and `--kind zip`.

Each ends with its named reason or with a correct image; nothing crashes, and nothing outside the output is touched.
"""

import io
import os
import shutil
import socket
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from celebahq_tools.errors import InputError
from celebahq_tools.importing import ImportConfig, run_import
from celebahq_tools.source import photo
from celebahq_tools.source.importers import zip_archive
from celebahq_tools.source.importers.base import ImportRequest
from celebahq_tools.store.manifest import manifest_path, read_manifest
from celebahq_tools.store.reader import DatasetReader

from .broken_zips import encrypt_last_entry

SIDE = 16
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
GREY3 = np.repeat(RGB[..., :1], 3, axis=2)
IMAGE = Image.fromarray(RGB)
SMOOTH = Image.fromarray(np.linspace(0, 255, SIDE * SIDE * 3).reshape(SIDE, SIDE, 3).astype(np.uint8))


def encode(image, format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def encode_cv2(pixels, suffix):
    return cv2.imencode(suffix, pixels)[1].tobytes()


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows, depth=8, colour=2):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def with_alpha(opaque):
    image = IMAGE.convert("RGBA")
    if not opaque:
        image.putpixel((3, 4), (1, 2, 3, 254))
    return image


def rotated(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(IMAGE, "PNG", exif=exif)


def broken_exif():
    data = encode(SMOOTH, "JPEG", quality=95, exif=b"Exif\0\0" + b"\xff" * 40)
    return data, decoded(encode(SMOOTH, "JPEG", quality=95))


def flip(data, place, value=0xFF):
    changed = bytearray(data)
    changed[place] ^= value
    return bytes(changed)


def animation(format, **options):
    other = Image.fromarray(255 - RGB)
    return encode(IMAGE, format, save_all=True, append_images=[other], **options)


JPEG = encode(SMOOTH, "JPEG", quality=90)
PNG = encode(IMAGE)
PALETTE = IMAGE.quantize(16)

# name: (bytes, reason or the pixels that must come out)
KINDS = {
    # plain, in every format
    "png": (PNG, RGB),
    "bmp": (encode(IMAGE, "BMP"), RGB),
    "tiff": (encode(IMAGE, "TIFF"), RGB),
    "tiff lzw": (encode(IMAGE, "TIFF", compression="tiff_lzw"), RGB),
    "ppm": (encode(IMAGE, "PPM"), RGB),
    "webp lossless": (encode(IMAGE, "WEBP", lossless=True), RGB),
    "jpeg": (JPEG, decoded(JPEG)),
    "progressive jpeg": (encode(SMOOTH, "JPEG", progressive=True), decoded(encode(SMOOTH, "JPEG", progressive=True))),
    "interlaced png": (encode_cv2(RGB[..., ::-1], ".png"), RGB),
    "png named .jpg": (PNG, RGB),
    "png with bytes after its end": (PNG + b"trailing rubbish", RGB),
    "jpeg with bytes after its end": (JPEG + bytes(1000), decoded(JPEG)),
    "jpeg with broken exif": broken_exif(),
    "png with a colour profile": (encode(IMAGE, icc_profile=b"nonsense"), RGB),
    # odd, with one meaning
    "grey": (encode(IMAGE.getchannel(0)), GREY3),
    "bilevel": (encode(IMAGE.convert("1")), np.asarray(IMAGE.convert("1").convert("RGB"))),
    "palette": (encode(PALETTE), np.asarray(PALETTE.convert("RGB"))),
    "gif": (encode(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
    "opaque alpha": (encode(with_alpha(True)), RGB),
    "grey with opaque alpha": (encode(IMAGE.getchannel(0).convert("LA")), GREY3),
    "turned by exif": (rotated(6), np.rot90(RGB, -1)),
    "mirrored by exif": (rotated(2), RGB[:, ::-1]),
    "upright by exif": (rotated(1), RGB),
    "exif orientation that does not exist": (rotated(77), RGB),
    # odd, without one meaning
    "transparent pixels": (encode(with_alpha(False)), "decode.alpha"),
    "transparent colour": (encode(IMAGE, transparency=tuple(map(int, RGB[0, 0]))), "decode.alpha"),
    "cmyk": (encode(IMAGE.convert("CMYK"), "JPEG"), "decode.cmyk"),
    "16-bit grey": (encode_cv2(RGB[..., 0].astype(np.uint16) * 257, ".png"), "decode.bits16"),
    "16-bit rgb": (encode_cv2(RGB.astype(np.uint16) * 257, ".png"), "decode.bits16"),
    "16-bit rgb tiff": (encode_cv2(RGB.astype(np.uint16) * 257, ".tiff"), "decode.bits16"),
    "float tiff": (encode(Image.fromarray(RGB[..., 0].astype(np.float32)), "TIFF"), "decode.bits16"),
    "lab tiff": (encode(IMAGE.convert("LAB"), "TIFF"), "decode.not_rgb"),
    "animated webp": (animation("WEBP", lossless=True), "decode.animated"),
    "animated gif": (animation("GIF"), "decode.animated"),
    "animated png": (animation("PNG"), "decode.animated"),
    "tiff of two pages": (animation("TIFF"), "decode.animated"),
    "another size": (encode(IMAGE.resize((8, 8))), "size.differs"),
    "not square": (encode(IMAGE.crop((0, 0, 16, 8))), "size.differs"),
    "one pixel": (encode(IMAGE.crop((0, 0, 1, 1))), "size.differs"),
    # no image
    "empty": (b"", "decode.empty"),
    "one byte": (b"\xff", "decode.not_an_image"),
    "text": (b"not an image at all\n" * 20, "decode.not_an_image"),
    "zeros": (bytes(5000), "decode.not_an_image"),
    "noise": (RNG.bytes(5000), "decode.not_an_image"),
    "pdf": (b"%PDF-1.4\n%%EOF\n", "decode.not_an_image"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"/>', "decode.not_an_image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\nshowpage\n", "decode.not_an_image"),
    "html": (b"<html><body>404 Not Found</body></html>", "decode.not_an_image"),
    "jpeg signature only": (b"\xff\xd8\xff\xe0", "decode.not_an_image"),
    "png signature only": (PNG[:8], "decode.not_an_image"),
    "zip in the place of an image": (b"PK\x05\x06" + bytes(18), "decode.not_an_image"),
    # damaged
    "truncated jpeg": (encode(IMAGE, "JPEG", quality=95)[:-60], "decode.truncated"),
    "truncated jpeg in its tables": (JPEG[:200], "decode."),
    "truncated png": (PNG[:-300], "decode.truncated"),
    "truncated webp": (encode(IMAGE, "WEBP", lossless=True)[:-200], "decode."),
    "truncated bmp": (encode(IMAGE, "BMP")[:-200], "decode.truncated"),
    "truncated tiff": (encode(IMAGE, "TIFF")[:200], "decode."),
    "png with a flipped bit in its pixels": (flip(PNG, 200, 1), "decode."),
    "png with a wrong checksum in its header": (flip(PNG, 29), "decode.not_an_image"),
    "png without pixels": (PNG[:33] + chunk(b"IEND", b""), "decode."),
    "png whose rows are too few": (png(SIDE, SIDE, zlib.compress(bytes(100))), "decode."),
    "png of no width": (png(0, 16, zlib.compress(b"")), "decode."),
    "png of an unknown colour type": (png(16, 16, zlib.compress(bytes(800)), colour=5), "decode."),
    "jpeg of no height": (JPEG.replace(struct.pack(">HH", SIDE, SIDE), struct.pack(">HH", 0, SIDE), 1), "decode."),
    # decompression bombs
    "png of 60000 x 60000": (png(60000, 60000, zlib.compress(bytes(10**6))), "decode.huge"),
    "png of 2 billion squared": (png(2**31 - 1, 2**31 - 1, zlib.compress(b"")), "decode."),
    "png of 1 x 200 million": (png(200_000_000, 1, zlib.compress(bytes(100))), "decode.huge"),
    "jpeg of 65500 squared": (
        JPEG.replace(struct.pack(">HH", SIDE, SIDE), struct.pack(">HH", 65500, 65500), 1),
        "decode.huge",
    ),
    "png with a text chunk of 100 MB packed": (
        PNG[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(10**8))) + PNG[33:],
        "decode.damaged",
    ),
}


def test_there_are_at_least_forty_kinds():
    assert len(KINDS) >= 40


class Listener:
    def begin_stage(self, name, *, total, done):
        self.total, self.seen = total, 0

    def advance(self, record):
        self.seen += 1


def bring_in(source, kind, out, **options):
    listener = Listener()
    summary = run_import(ImportConfig(ImportRequest(source), kind, out, **options), listener)
    assert listener.seen == listener.total == summary.found
    with DatasetReader(out) as reader:
        images = reader.read(slice(None)).transpose(0, 2, 3, 1)
    rows = {row["file"]: row for row in read_manifest(manifest_path(out))}
    assert len(rows) == summary.found
    return summary, images, rows


def check_rows(rows, images, prefix=""):
    for name, (_, expected) in KINDS.items():
        row = rows[f"{prefix}{name}"]
        if isinstance(expected, str):
            assert row["status"] == "rejected", name
            reason = row["reason"]
            assert reason.startswith(expected) if expected.endswith(".") else reason == expected, (
                name,
                row["reason"],
                row["detail"],
            )
            assert not reason.startswith("internal"), (name, row["reason"], row["detail"])
        else:
            assert row["status"] == "kept", (name, row["reason"], row["detail"])
            np.testing.assert_array_equal(images[int(row["dataset_index"])], expected, err_msg=name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All kinds, the special files of the system, and a name that sorts first and fixes the size."""
    folder = tmp_path_factory.mktemp("odd") / "photos"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "!first.png").write_bytes(PNG)
    for name, (data, _) in KINDS.items():
        (folder / "sub" / name).write_bytes(data)
    (folder / "link to a file").symlink_to(folder / "!first.png")
    (folder / "dangling link").symlink_to(folder / "gone")
    (folder / "loop a").symlink_to(folder / "loop b")
    (folder / "loop b").symlink_to(folder / "loop a")
    (folder / "sub" / "link to the folder itself").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        previous = Path.cwd()
        os.chdir(folder)  # the names of sockets may have only 107 bytes
        try:
            server.bind("socket")
        finally:
            os.chdir(previous)
    (folder / "endless").symlink_to("/dev/zero")
    (folder / ".hidden").write_text("x")
    (folder / ("x" * 250)).write_bytes(PNG)
    (folder / 'new\nline, "quotes".png').write_bytes(PNG)
    (folder / os.fsdecode(b"not unicode \xff\xfe.png")).write_bytes(PNG)
    return folder


SPECIAL = {
    "link to a file": RGB,
    "dangling link": "decode.not_a_file",
    "loop a": "decode.not_a_file",
    "loop b": "decode.not_a_file",
    "sub/link to the folder itself": "source.linked_folder",
    "pipe": "decode.not_a_file",
    "socket": "decode.not_a_file",
    "endless": "decode.not_a_file",
    "x" * 250: RGB,
    'new\nline, "quotes".png': RGB,
    "not unicode \\udcff\\udcfe.png": RGB,
}


def test_every_kind_of_file_in_a_folder_has_a_named_reason_or_a_correct_image(folder, tmp_path):
    before = sorted(os.listdir(folder))
    summary, images, rows = bring_in(folder, "folder", tmp_path / "a.h5")
    check_rows(rows, images, "sub/")
    for name, expected in SPECIAL.items():
        if isinstance(expected, str):
            assert rows[name]["reason"] == expected, name
        else:
            np.testing.assert_array_equal(images[int(rows[name]["dataset_index"])], expected)
    assert summary.found == 1 + len(KINDS) + len(SPECIAL)
    assert sum(summary.rejected.values()) + summary.kept == summary.found
    assert sorted(os.listdir(folder)) == before


def make_zip(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def test_every_kind_of_file_in_a_zip_has_a_named_reason_or_a_correct_image(tmp_path):
    path = make_zip(tmp_path / "odd.zip", [("!first.png", PNG), *((name, data) for name, (data, _) in KINDS.items())])
    summary, images, rows = bring_in(path, "zip", tmp_path / "a.h5")
    check_rows(rows, images)
    assert summary.found == 1 + len(KINDS)


def test_names_that_lead_out_of_a_zip_are_rejected_and_nothing_is_unpacked(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    inside = tmp_path / "inside"
    inside.mkdir()
    path = make_zip(
        inside / "bad.zip",
        [
            ("good.png", PNG),
            ("../escaped.png", PNG),
            ("a/../../escaped.png", PNG),
            ("/escaped.png", PNG),
            ("..\\escaped.png", PNG),
            ("C:\\escaped.png", PNG),
            (link, b"/etc/passwd"),
        ],
    )
    summary, images, _ = bring_in(path, "zip", tmp_path / "a.h5")
    assert summary.rejected == {"zip.unsafe_name": 5, "zip.not_a_file": 1}
    assert len(images) == 1
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "a.manifest.csv", "inside"]
    assert os.listdir(inside) == ["bad.zip"]


def test_a_zip_bomb_is_rejected_unread(tmp_path, monkeypatch):
    path = make_zip(tmp_path / "bomb.zip", [("a.png", PNG), ("bomb.png", bytes(10**7))])
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(zip_archive, "MAX_BYTES", 10**6)
    monkeypatch.setattr(zipfile.ZipFile, "open", refuse_bombs(zipfile.ZipFile.open))
    summary, _, rows = bring_in(path, "zip", tmp_path / "a.h5")
    assert rows["bomb.png"]["reason"] == "decode.huge"
    assert summary.kept == 1


def refuse_bombs(read):
    def checked(self, entry, *arguments):
        assert entry.file_size < 10**6
        return read(self, entry, *arguments)

    return checked


def test_a_zip_entry_that_lies_about_its_size_yields_no_more_than_it_says(tmp_path):
    path = make_zip(tmp_path / "lie.zip", [("a.png", PNG), ("lie.png", bytes(10**7))])
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 10**7), struct.pack("<I", 5000)))
    summary, _, rows = bring_in(path, "zip", tmp_path / "a.h5")
    assert rows["lie.png"]["reason"] == "zip.damaged"
    assert summary.kept == 1


def test_encrypted_duplicate_and_damaged_entries_are_named(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = make_zip(tmp_path / "x.zip", [("a.png", PNG), ("b.png", PNG), ("b.png", PNG), ("c.png", PNG)])
    encrypt_last_entry(path)
    data = bytearray(path.read_bytes())
    # A byte of the first entry's pixels.
    data[data.index(b"a.png") + 100] ^= 0xFF
    path.write_bytes(data)
    config = ImportConfig(ImportRequest(path), "zip", tmp_path / "a.h5")
    summary = run_import(config, Listener())
    assert summary.rejected == {"zip.damaged": 1, "zip.duplicate": 1, "zip.encrypted": 1}
    assert summary.kept == 1


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_zip_is_refused_with_its_name(content, tmp_path):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.zip"):
        bring_in(tmp_path / "x.zip", "zip", tmp_path / "a.h5")


def test_a_huge_file_is_rejected_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(photo, "MAX_BYTES", 10**6)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(PNG)
    with (folder / "huge.png").open("wb") as stream:
        stream.truncate(10**12)  # sparse: takes no space
    _, _, rows = bring_in(folder, "folder", tmp_path / "a.h5")
    assert rows["huge.png"]["reason"] == "decode.huge"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_fuzzed_images_never_crash_and_never_change_size(format, tmp_path):
    """Bytes flipped, cut out, repeated and cut off: each ends named, or as an image of the right size."""
    rng = np.random.default_rng(11)
    source = PALETTE if format == "GIF" else SMOOTH
    good = encode(source, format)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "!first").write_bytes(good)
    for number in range(60):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 6))):
            place = int(rng.integers(len(data)))
            match int(rng.integers(4)):
                case 0:
                    data[place] = int(rng.integers(256))
                case 1:
                    del data[place : place + int(rng.integers(1, 9))]
                case 2:
                    data[place:place] = data[place : place + int(rng.integers(1, 9))]
                case _:
                    data = data[: max(place, 4)]
            data = data or bytearray(b"x")
        (folder / f"{number:03d}").write_bytes(data)
    summary, images, rows = bring_in(folder, "folder", tmp_path / "a.h5")
    assert summary.found == 61
    assert images.shape[1:] == (SIDE, SIDE, 3)
    assert not [row for row in rows.values() if row["reason"].startswith("internal")]
    shutil.rmtree(folder)


def test_fuzzed_zips_are_refused_or_their_entries_named(tmp_path):
    rng = np.random.default_rng(12)
    good = make_zip(tmp_path / "good.zip", [(f"{n}.png", PNG) for n in range(4)]).read_bytes()
    outcomes = set()
    for number in range(60):
        data = bytearray(good)
        # Mostly the directory at the end, which decides what is read from where.
        place = len(data) - 1 - int(rng.integers(250)) if rng.random() < 0.7 else int(rng.integers(len(data)))
        data[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "x.zip").write_bytes(data)
        try:
            _, images, rows = bring_in(tmp_path / "x.zip", "zip", tmp_path / f"{number}.h5")
        except InputError:
            outcomes.add("refused")
            continue
        outcomes |= {row["reason"] or "kept" for row in rows.values()}
        assert all((image == RGB).all() for image in images)
    assert "internal.error" not in outcomes
    assert {"refused", "kept", "zip.damaged"} <= outcomes
