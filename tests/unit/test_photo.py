import io

import cv2
import numpy as np
import pytest
from PIL import Image

from celebahq_tools.errors import RejectionError
from celebahq_tools.source import photo

RGB = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def encode(image, format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def encode_cv2(pixels, suffix):
    return cv2.imencode(suffix, pixels)[1].tobytes()


def exif_rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(Image.fromarray(RGB), "JPEG", exif=exif)


def animated():
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    return encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)


def palette():
    return encode(Image.fromarray(RGB).quantize(16))


def transparent_colour():
    return encode(Image.fromarray(RGB), "PNG", transparency=(1, 2, 3))


ODD_FILES = {
    "grey": (lambda: encode(Image.fromarray(RGB).convert("L"), "JPEG"), "grey"),
    "bilevel": (lambda: encode(Image.fromarray(RGB).convert("1")), "grey"),
    "alpha": (lambda: encode(Image.fromarray(RGB).convert("RGBA")), "alpha"),
    "grey with alpha": (lambda: encode(Image.fromarray(RGB).convert("LA")), "alpha"),
    "transparent colour": (transparent_colour, "alpha"),
    "palette": (palette, "palette"),
    "cmyk": (lambda: encode(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "cmyk"),
    "16-bit grey": (lambda: encode_cv2(RGB[..., 0].astype(np.uint16) * 257, ".png"), "bits16"),
    "16-bit rgb": (lambda: encode_cv2(RGB.astype(np.uint16) * 257, ".png"), "bits16"),
    "16-bit rgb tiff": (lambda: encode_cv2(RGB.astype(np.uint16) * 257, ".tiff"), "bits16"),
    "float tiff": (lambda: encode(Image.fromarray(RGB[..., 0].astype(np.float32)), "TIFF"), "bits16"),
    "exif rotated": (exif_rotated, "exif_rotated"),
    "animated": (animated, "animated"),
    "truncated jpeg": (lambda: encode(Image.fromarray(RGB), "JPEG")[:-40], "truncated"),
    "truncated png": (lambda: encode(Image.fromarray(RGB))[:-900], "truncated"),
    "text": (lambda: b"not an image at all", "not_an_image"),
    "jpeg header only": (lambda: b"\xff\xd8\xff\xe0", "not_an_image"),
    "pdf": (lambda: b"%PDF-1.4\n", "not_an_image"),
}


def test_of_a_phone_s_multi_picture_file_the_photograph_is_taken():
    smaller = Image.fromarray(255 - RGB).resize((16, 12))
    data = encode(Image.fromarray(RGB), "MPO", save_all=True, append_images=[smaller], quality=100, subsampling=0)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 2
    np.testing.assert_allclose(photo.decode_photo(data), RGB, atol=6)  # of quality 100


@pytest.mark.parametrize("kind", ODD_FILES)
def test_an_odd_file_is_rejected_with_its_reason(kind):
    make, reason = ODD_FILES[kind]
    with pytest.raises(RejectionError) as caught:
        photo.decode_photo(make())
    assert (caught.value.stage, caught.value.reason) == ("decode", reason)


@pytest.mark.parametrize(("format", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_a_plain_photograph_is_decoded_exactly(format, options):
    np.testing.assert_array_equal(photo.decode_photo(encode(Image.fromarray(RGB), format, **options)), RGB)


def test_an_upright_exif_tag_is_no_reason_to_reject():
    exif = Image.Exif()
    exif[0x0112] = 1
    assert photo.decode_photo(encode(Image.fromarray(RGB), "JPEG", exif=exif)).shape == RGB.shape


def test_a_decompression_bomb_is_rejected_before_its_pixels_are_decoded():
    header = encode(Image.new("RGB", (1, 1)), "PNG")
    width = height = 60_000
    bomb = header[:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + header[24:]
    with pytest.raises(RejectionError, match=r"decode\.(huge|not_an_image)"):
        photo.decode_photo(bomb)


def test_a_picture_over_the_pixel_limit_is_rejected(monkeypatch):
    monkeypatch.setattr(photo, "MAX_PIXELS", 24 * 32 - 1)
    with pytest.raises(RejectionError, match=r"decode\.huge: 32x24 pixels"):
        photo.decode_photo(encode(Image.fromarray(RGB)))


def test_bytes_and_checksum_of_a_file_are_returned(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert photo.read_photo_file(path) == (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


def test_empty_missing_and_folder_are_rejected(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone")
    for name, reason in [
        ("empty", "empty"),
        ("folder", "not_a_file"),
        ("gone", "not_a_file"),
        ("dangling", "not_a_file"),
    ]:
        with pytest.raises(RejectionError) as caught:
            photo.read_photo_file(tmp_path / f"{name}.jpg")
        assert caught.value.reason == reason


def test_a_symlink_loop_is_rejected(tmp_path):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    with pytest.raises(RejectionError):
        photo.read_photo_file(tmp_path / "a.jpg")


def test_a_file_over_the_byte_limit_is_rejected_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(photo, "MAX_BYTES", 2)
    (tmp_path / "a.jpg").write_bytes(b"abc")
    with pytest.raises(RejectionError, match=r"decode\.huge: 3 bytes"):
        photo.read_photo_file(tmp_path / "a.jpg")


GOOD = np.array([[30, 40], [60, 40], [45, 55], [33, 70], [57, 70]], np.float32)


@pytest.mark.parametrize(
    ("landmarks", "reason"),
    [
        (GOOD + 500, "outside"),
        (GOOD - 500, "outside"),
        (np.full((5, 2), 50, np.float32), "degenerate"),
    ],
)
def test_absurd_landmarks_are_rejected(landmarks, reason):
    with pytest.raises(RejectionError) as caught:
        photo.check_landmarks(landmarks.astype(np.float32), width=100, height=100)
    assert (caught.value.stage, caught.value.reason) == ("landmarks", reason)


def test_landmarks_a_little_outside_are_accepted():
    photo.check_landmarks(GOOD - np.array([40, 0], np.float32), width=100, height=100)
