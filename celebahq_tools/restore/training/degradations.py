"""What happens to photographs in the wild, done to clean patches on the fly: reduction, blur, noise, JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from celebahq_tools.types import Pixels

# Patches are cut out of a larger piece that was compressed whole, so that their borders look like the inside of an
# image; what is left over beyond the margins lets them start anywhere on the 8x8 grid.
MCU = 16
MARGIN = 8
ROOM = 2 * MARGIN + 8
SUBSAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}

# Where most qualities lie that nets for JPEG removal are compared at.
_MIDDLE = (15, 80)
_CLEAN_ODDS = 0.06
_DOUBLE_ODDS = 0.2
_ALIGNED_ODDS = 0.9
_KERNELS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.HAMMING,
    Image.Resampling.BICUBIC,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
_BLUR_ODDS = 0.3
# Ranges of what is done to clean pieces: pixels of blur, logarithm of gamma, factors of contrast and saturation.
_BLURS = (0.3, 1.3)
_GAMMA = 0.4
_CONTRASTS = (0.5, 1.1)
_SATURATIONS = (0.0, 1.6)
_NOISE_ODDS = 0.15


@dataclass(frozen=True)
class Pair:
    """One example.

    Attributes:
        damaged: What the net sees, uint8, shape (h, w, 3).
        truth: What it should make of it, uint8, shape (h * scale, w * scale, 3).
    """

    damaged: Pixels
    truth: Pixels


def compress(pixels: Pixels, quality: int, subsampling: str = "4:2:0") -> Pixels:
    """Return an image after JPEG.

    Args:
        pixels: RGB, uint8, shape (H, W, 3).
        quality: 1 to 100, on libjpeg's scale.
        subsampling: ``4:4:4``, ``4:2:2`` or ``4:2:0``.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=SUBSAMPLINGS[subsampling])
    return np.asarray(Image.open(buffer))


@dataclass(frozen=True)
class QualityOdds:
    """How JPEG qualities are drawn: evenly over the range where neither of these applies.

    Attributes:
        strong: How often evenly over the logarithm, of which for 5 to 95 half lies below 22.
        middle: How often, before that is asked, evenly over 15 to 80. At 0 nothing is drawn for it.
    """

    strong: float = 0.5
    middle: float = 0.0


USUAL_ODDS = QualityOdds()


def draw_quality(rng: np.random.Generator, low: int, high: int, odds: QualityOdds = USUAL_ODDS) -> int:
    """Return a JPEG quality from ``low`` to ``high``; only the middle qualities do not depend on these."""
    if odds.middle and rng.random() < odds.middle:
        return int(rng.integers(_MIDDLE[0], _MIDDLE[1] + 1))
    if rng.random() < 1 - odds.strong:
        return int(rng.integers(low, high + 1))
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def source_side(patch: int, scale: int) -> int:
    """Return the side of the clean piece that a patch of the net's input is made from."""
    return (patch + ROOM) * scale


def vary_piece(rng: np.random.Generator, piece: Pixels, odds: float) -> Pixels:
    """Return a clean piece as another camera, lens or light might have given it: softer, of other tones and colours.

    Few photographs teach a net their own sharpness and colours; it then corrects others too much.

    Args:
        rng: Decides everything.
        piece: Clean, uint8, shape (h, w, 3).
        odds: Of each of: blur, other tones, other saturation, exchanged colours. At 0 nothing is drawn.
    """
    if not odds:
        return piece
    blurs, tones, saturates, exchanges = rng.random(4) < odds
    values = piece.astype(np.float32) / 255
    if blurs:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), float(rng.uniform(*_BLURS))))
    if tones:
        values = values ** np.exp(rng.uniform(-_GAMMA, _GAMMA))
        mean = values.mean()
        values = mean + (values - mean) * rng.uniform(*_CONTRASTS)
    if saturates:
        grey = values.mean(axis=2, keepdims=True)
        values = grey + (values - grey) * rng.uniform(*_SATURATIONS)
    if exchanges:
        values = values[:, :, rng.permutation(3)]
    return np.ascontiguousarray(np.clip(np.rint(values * 255), 0, 255).astype(np.uint8))


def damage_for_dejpeg(rng: np.random.Generator, piece: Pixels, patch: int, odds: QualityOdds = USUAL_ODDS) -> Pair:
    """Return a JPEG patch with its truth: quality 5 to 95, colour 4:2:0 or full, sometimes twice, sometimes clean.

    Nine of ten patches start on the JPEG's 8x8 grid, where restorers bring their images; the others anywhere.

    Args:
        rng: Decides everything.
        piece: Clean, shape (patch + 24, patch + 24, 3).
        patch: Side of the patch.
        odds: How its quality is drawn.
    """
    damaged = piece
    if rng.random() >= _CLEAN_ODDS:
        if rng.random() < _DOUBLE_ODDS:
            shifts = (int(rng.integers(MCU)), int(rng.integers(MCU)))
            rolled = np.roll(damaged, shifts, axis=(0, 1))
            before = compress(np.ascontiguousarray(rolled), draw_quality(rng, 30, 95), _draw_subsampling(rng))
            damaged = np.roll(before, (-shifts[0], -shifts[1]), axis=(0, 1))
        quality = draw_quality(rng, 5, 95, odds)
        damaged = compress(np.ascontiguousarray(damaged), quality, _draw_subsampling(rng))
    top, left = _draw_corner(rng, piece.shape[0] - patch)
    window = (slice(top, top + patch), slice(left, left + patch))
    return Pair(damaged[window], piece[window])


def damage_for_sr(rng: np.random.Generator, piece: Pixels, patch: int, scale: int, jpeg_odds: float) -> Pair:
    """Return a small image with its truth: maybe blurred, reduced by one of several kernels, maybe noisy, maybe a JPEG.

    Args:
        rng: Decides everything.
        piece: Clean, shape ((patch + 24) * scale, (patch + 24) * scale, 3).
        patch: Side of the small image.
        scale: Reduction.
        jpeg_odds: How often it is compressed, with quality 30 to 95.
    """
    blurred: Pixels = piece
    if rng.random() < _BLUR_ODDS:
        blurred = np.asarray(cv2.GaussianBlur(piece, (0, 0), float(rng.uniform(0.4, 0.45 * scale))), np.uint8)
    side = piece.shape[0] // scale
    kernel = _KERNELS[int(rng.integers(len(_KERNELS)))]
    small = np.asarray(Image.fromarray(blurred).resize((side, side), kernel))
    if rng.random() < _NOISE_ODDS:
        noisy = small + rng.normal(0, rng.uniform(0.5, 4), small.shape)
        small = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    if rng.random() < jpeg_odds:
        small = compress(small, draw_quality(rng, 30, 95), _draw_subsampling(rng))
    top, left = _draw_corner(rng, side - patch)
    window = (slice(top, top + patch), slice(left, left + patch))
    return Pair(small[window], piece[top * scale : (top + patch) * scale, left * scale : (left + patch) * scale])


def _draw_subsampling(rng: np.random.Generator) -> str:
    return "4:2:0" if rng.random() < 0.75 else "4:4:4"


def _draw_corner(rng: np.random.Generator, room: int) -> tuple[int, int]:
    """Return where a patch starts in a piece that has so many pixels more, well inside it."""
    if rng.random() < _ALIGNED_ODDS:
        places = range(MARGIN, room - MARGIN + 1, 8)
        return places[int(rng.integers(len(places)))], places[int(rng.integers(len(places)))]
    return int(rng.integers(MARGIN, room - MARGIN + 1)), int(rng.integers(MARGIN, room - MARGIN + 1))


def resize_bicubic(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return an image resized to (width, height) by the antialiased bicubic kernel that benchmarks use."""
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
