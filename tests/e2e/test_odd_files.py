"""A folder of damaged, hostile and merely odd files: each gets its reason or its face, none stops the build."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from celebahq_tools.source.samples import Variation, render_variation

from .commands import run_well

FUZZED = 24
# What a decoder may say of bytes that were changed at random; an image that still decodes is correct as well.
FUZZ_REASONS = {"", "decode.truncated", "decode.damaged", "decode.not_an_image", "decode.huge", "decode.grey"}
FUZZ_REASONS |= {"decode.cmyk", "decode.exif_rotated"}


def encode(image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def encode_cv2(pixels, suffix):
    return cv2.imencode(suffix, pixels)[1].tobytes()


def make_png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_bomb(width, height):
    """A PNG whose header promises a picture of any size, and whose data are a few bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = make_png_chunk(b"IHDR", header) + make_png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + body + make_png_chunk(b"IEND", b"")


def list_odd_files():
    """Yield name, contents and the reason expected; '' is a face."""
    jpeg, _ = render_variation(Variation("astronaut", 0.5, 90))
    photo = Image.open(io.BytesIO(jpeg)).convert("RGB")
    pixels = np.asarray(photo)
    png = encode(photo, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    odd_exif = Image.Exif()
    odd_exif[0x0112] = 99
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 100_000, zip=True)
    # Correct, in every way that a correct photograph can look.
    yield "plain.jpg", jpeg, ""
    yield "progressive.jpg", encode(photo, "JPEG", quality=90, progressive=True), ""
    yield "full colour.jpg", encode(photo, "JPEG", quality=90, subsampling=0), ""
    yield "restart.jpg", encode(photo, "JPEG", quality=90, restart_marker_rows=1), ""
    yield "optimised.jpg", encode(photo, "JPEG", quality=85, optimize=True), ""
    yield "trailing.jpg", jpeg + bytes(range(256)) * 40, ""
    yield "profile.jpg", encode(photo, "JPEG", quality=90, icc_profile=b"no profile at all"), ""
    yield "no suffix", png, ""
    yield "wrong suffix.jpg", png, ""
    yield "upper.PNG", png, ""
    yield "ünïcödé 写真.png", png, ""
    yield "a,comma;and 'quotes'.png", png, ""
    yield "line\nbreak.png", png, ""
    yield "interlaced.png", encode_cv2(pixels[..., ::-1], ".png"), ""
    yield "commented.png", encode(photo, "PNG", pnginfo=text), ""
    yield "lossless.webp", encode(photo, "WEBP", lossless=True), ""
    yield "plain.bmp", encode(photo, "BMP"), ""
    yield "plain.tiff", encode(photo, "TIFF"), ""
    yield "packed.tiff", encode(photo, "TIFF", compression="tiff_lzw"), ""
    yield "plain.ppm", encode(photo, "PPM"), ""
    # Not what is wanted.
    yield "grey.jpg", encode(photo.convert("L"), "JPEG"), "decode.grey"
    yield "bilevel.png", encode(photo.convert("1"), "PNG"), "decode.grey"
    yield "grey alpha.png", encode(photo.convert("LA"), "PNG"), "decode.alpha"
    yield "alpha.png", encode(photo.convert("RGBA"), "PNG"), "decode.alpha"
    yield "transparent colour.png", encode(photo, "PNG", transparency=(0, 0, 0)), "decode.alpha"
    yield "palette.png", encode(photo.quantize(64), "PNG"), "decode.palette"
    yield "palette.gif", encode(photo.quantize(64), "GIF"), "decode.palette"
    yield "cmyk.jpg", encode(photo.convert("CMYK"), "JPEG"), "decode.cmyk"
    yield "deep grey.png", encode_cv2(pixels[..., 0].astype(np.uint16) * 257, ".png"), "decode.bits16"
    yield "deep.png", encode_cv2(pixels.astype(np.uint16) * 257, ".png"), "decode.bits16"
    yield "deep.tiff", encode_cv2(pixels.astype(np.uint16) * 257, ".tiff"), "decode.bits16"
    yield "float.tiff", encode(Image.fromarray(pixels[..., 0].astype(np.float32)), "TIFF"), "decode.bits16"
    yield "turned.jpg", encode(photo, "JPEG", exif=exif), "decode.exif_rotated"
    yield "turned oddly.jpg", encode(photo, "JPEG", exif=odd_exif), "decode.exif_rotated"
    yield "moving.gif", encode(photo, "GIF", save_all=True, append_images=[photo.rotate(5)]), "decode.animated"
    yield "moving.webp", encode(photo, "WEBP", save_all=True, append_images=[photo.rotate(5)]), "decode.animated"
    yield "pages.tiff", encode(photo, "TIFF", save_all=True, append_images=[photo]), "decode.animated"
    # Damaged.
    yield "empty.jpg", b"", "decode.empty"
    yield "one byte.jpg", b"\xff", "decode.not_an_image"
    yield "signature.jpg", jpeg[:4], "decode.not_an_image"
    yield "third.jpg", jpeg[: len(jpeg) // 3], "decode.truncated"
    yield "almost.jpg", jpeg[:-400], "decode.truncated"
    yield "half.png", png[: len(png) // 2], "decode.truncated"
    yield "half.bmp", encode(photo, "BMP")[:5000], "decode.truncated"
    yield "half.tiff", encode(photo, "TIFF")[:5000], "decode.truncated|decode.damaged|decode.not_an_image"
    yield "half.webp", encode(photo, "WEBP", lossless=True)[:5000], "decode.truncated|decode.damaged"
    yield "zeros.jpg", jpeg[:2000] + bytes(len(jpeg) - 2000), "|decode.damaged|decode.truncated"
    yield "wrong sum.png", png[:60] + bytes([png[60] ^ 255]) + png[61:], "decode.damaged|decode.truncated"
    # Something else altogether.
    yield "text.jpg", b"hello", "decode.not_an_image"
    yield "page.html", b"<!DOCTYPE html><p>404</p>", "decode.not_an_image"
    yield "drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "decode.not_an_image"
    yield "document.pdf", b"%PDF-1.4\n%%EOF", "decode.not_an_image"
    yield "vector.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "decode.not_an_image"
    yield "archive.jpg", b"PK\x03\x04" + bytes(40), "decode.not_an_image"
    yield "program.jpg", b"\x7fELF" + bytes(200), "decode.not_an_image"
    yield "icon.ico", encode(photo.resize((64, 64)), "ICO"), "decode.not_an_image"
    # Hostile.
    yield "bomb.png", make_bomb(60_000, 60_000), "decode.huge"
    yield "small bomb.png", make_bomb(9_000, 9_000), "decode.truncated|decode.damaged"
    yield "wide.png", make_bomb(2**31 - 1, 1), "decode.huge|decode.damaged|decode.not_an_image"
    yield "no pixels.png", make_bomb(0, 0), "decode.not_an_image|decode.damaged|decode.truncated"
    # Too small for a face that size, and off the photograph.
    yield "tiny.png", encode(photo.resize((3, 2)), "PNG"), "landmarks.outside|align.outside_photo"
    yield "one pixel.bmp", encode(photo.resize((1, 1)), "BMP"), "landmarks.outside|align.outside_photo"


def fuzz(data, rng):
    """Return a JPEG file with some bytes changed, removed or doubled, anywhere behind its signature."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 12))):
        place = int(rng.integers(4, len(data)))
        kind = rng.integers(3)
        if kind == 0:
            data[place] = int(rng.integers(256))
        elif kind == 1:
            del data[place : place + int(rng.integers(1, 60))]
        else:
            data[place:place] = data[place : place + int(rng.integers(1, 60))]
    return bytes(data)


@pytest.mark.skipif(os.name == "nt", reason="names and special files of other systems")
def test_every_odd_file_has_its_reason_or_its_face_and_the_build_goes_on(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    jpeg, points = render_variation(Variation("astronaut", 0.5, 90))
    expected = {}
    for name, data, reason in list_odd_files():
        (folder / name).write_bytes(data)
        expected[name] = set(reason.split("|"))
    rng = np.random.default_rng(20)
    for number in range(FUZZED):
        (folder / f"fuzzed {number}.jpg").write_bytes(fuzz(jpeg, rng))
        expected[f"fuzzed {number}.jpg"] = FUZZ_REASONS
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "inside.jpg").write_bytes(jpeg)
    expected["folder.jpg/inside.jpg"] = {""}
    (folder / "dangling.jpg").symlink_to(tmp_path / "gone")
    (folder / "ping.jpg").symlink_to(folder / "pong.jpg")
    (folder / "pong.jpg").symlink_to(folder / "ping.jpg")
    os.mkfifo(folder / "pipe.jpg")
    expected |= {key: {"decode.not_a_file"} for key in ("dangling.jpg", "ping.jpg", "pong.jpg", "pipe.jpg")}
    (folder / "up").symlink_to(folder)  # a loop of folders: nothing in it is listed twice
    assert len({name.split(".")[0].split()[0] for name in expected}) >= 40

    table = tmp_path / "points.json"
    table.write_text(json.dumps(dict.fromkeys(expected, points.tolist())))
    out = tmp_path / "faces.h5"
    # Many files hold the same face: it is the files that are tested here.
    command = ["build", "--in", folder, "--landmarks", table, "--out", out, "--guards", "border", "--size", "64"]
    command += ["--dejpeg", "none", "--sr", "lanczos", "--workers", "1", "--no-report"]
    result = run_well(*command)
    assert "Traceback" not in result.stderr
    with out.with_name("faces.manifest.csv").open(newline="", encoding="utf-8") as stream:
        found = {row["file"]: row["reason"] for row in csv.DictReader(stream)}
    assert found.keys() == expected.keys()
    assert not {name: found[name] for name in expected if found[name] not in expected[name]}
    assert not any(reason.startswith("internal") for reason in found.values())
