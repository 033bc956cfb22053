"""The FFHQ variant against a plain reading of its formulas with Pillow, numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
from PIL import Image

from celebahq_tools.align.face import align_face
from celebahq_tools.align.quad import compute_quad

LANDMARKS = np.array([(203, 100.5), (247, 103), (225, 126.5), (203.5, 139.5), (244.5, 141)])
SIZE = 128


def align_plainly(image, landmarks):
    """Crop, pad, blur and transform a whole photograph as the published formulas say."""
    eye_left, eye_right, _, mouth_left, mouth_right = landmarks
    eyes, mouth = (eye_left + eye_right) / 2, (mouth_left + mouth_right) / 2
    e2e, e2m = eye_right - eye_left, mouth - eyes
    x = e2e - np.array([-e2m[1], e2m[0]])
    x *= max(np.hypot(*e2e) * 2.0, np.hypot(*e2m) * 1.8) / np.hypot(*x)
    y = np.array([-x[1], x[0]])
    centre = eyes + 0.1 * e2m
    quad = np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])
    side = np.hypot(*x) * 2
    shrink = int(np.floor(side / SIZE * 0.5))
    if shrink > 1:
        image = image.resize((round(image.width / shrink), round(image.height / shrink)), Image.Resampling.LANCZOS)
        quad, side = quad / shrink, side / shrink
    border = max(int(np.rint(side * 0.1)), 3)
    left, top = (int(np.floor(v)) for v in quad.min(axis=0))
    right, bottom = (int(np.ceil(v)) for v in quad.max(axis=0))
    box = (
        max(left - border, 0),
        max(top - border, 0),
        min(right + border, image.width),
        min(bottom + border, image.height),
    )
    image = image.crop(box)
    quad -= box[:2]
    left, top = (int(np.floor(v)) for v in quad.min(axis=0))
    right, bottom = (int(np.ceil(v)) for v in quad.max(axis=0))
    pad = [max(-left + border, 0), max(-top + border, 0)]
    pad += [max(right - image.width + border, 0), max(bottom - image.height + border, 0)]
    if max(pad) > border - 4:
        pad = np.maximum(pad, int(np.rint(side * 0.3)))
        values = np.pad(np.float32(image), ((pad[1], pad[3]), (pad[0], pad[2]), (0, 0)), "reflect")
        h, w, _ = values.shape
        row, column = np.ogrid[:h, :w]
        mask = np.maximum(
            1 - np.minimum(np.float32(column) / pad[0], np.float32(w - 1 - column) / pad[2]),
            1 - np.minimum(np.float32(row) / pad[1], np.float32(h - 1 - row) / pad[3]),
        )[..., None]
        blurred = scipy.ndimage.gaussian_filter(values, [side * 0.02, side * 0.02, 0])
        values += (blurred - values) * np.clip(mask * 3 + 1, 0, 1)
        values += (np.median(values, axis=(0, 1)) - values) * np.clip(mask, 0, 1)
        image = Image.fromarray(np.uint8(np.clip(np.rint(values), 0, 255)))
        quad += pad[:2]
    corners = (quad + 0.5).ravel().tolist()
    large = image.transform((4 * SIZE, 4 * SIZE), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return np.asarray(large.resize((SIZE, SIZE), Image.Resampling.LANCZOS), np.int64)


@pytest.mark.parametrize("cut", [(0, 0), (130, 0), (0, 40)], ids=["whole", "left cut", "top cut"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_face_equals_the_plain_reading_of_the_formulas(cut, scale):
    image = Image.fromarray(skimage.data.astronaut()).crop((*cut, 512, 512))
    landmarks = LANDMARKS - cut
    if scale != 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
        landmarks = landmarks * scale
    ours = align_face(np.asarray(image), landmarks, out_size=SIZE, resample="lanczos", alignment="ffhq").pixels
    difference = np.abs(align_plainly(image, landmarks) - ours)
    # The blur is computed at reduced resolution and the median over a grid: docs/alignment.md gives one level each.
    assert difference.max() <= 3
    assert (difference > 1).mean() < 0.005


def test_the_crop_lies_half_a_pixel_nearer_to_the_origin():
    np.testing.assert_allclose(
        compute_quad(LANDMARKS, "ffhq").corners, compute_quad(LANDMARKS).corners - 0.5, atol=1e-12
    )
