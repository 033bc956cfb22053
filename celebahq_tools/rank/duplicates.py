"""Find the same picture twice: a perceptual hash proposes, pixels decide, the better score stays.

Pictures are compared best score first with those already kept, and one that matches is left out in favour of the one
it matches. What is kept therefore depends on scores and pictures alone, never on the order in which they came, and
at most keep x candidates hashes are compared, 8 bytes each; a picture's thumbnail is 576 bytes. No index, no chance:
every pair that counts is looked at. docs/guards.md has time and memory for 202,599 pictures.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ConfigError, ShapeError
from celebahq_tools.types import Pixels, check_pixels

THUMB_SIDE = 24
# Bits of 64 in which two hashes may differ to be compared by pixels.
MAX_HASH_DISTANCE = 14
# Part of a thumbnail's contrast that the other one cannot explain; docs/guards.md says how both limits were found.
MAX_DIFFERENCE = 0.1
# Thumbnails are smoothed by this before they are compared, and as many pixels of their border as motion may reach left
# out.
_SMOOTHING, _MARGIN = 0.8, 2
_HASH_SIDE = 8
_BATCH = 4096

Thumbs = NDArray[np.uint8]
Hashes = NDArray[np.uint64]


def make_thumb(pixels: Pixels) -> Thumbs:
    """Return the thumbnail by which a picture is compared: (24, 24) uint8 luma, area averages.

    Args:
        pixels: (H, W, 3) uint8 RGB, at least 24 pixels a side.
    Raises:
        ShapeError: If the pixels are something else.
    """
    check_pixels(pixels, "duplicates")
    if min(pixels.shape[:2]) < THUMB_SIDE:
        raise ShapeError(f"duplicates: got {pixels.shape[1]}x{pixels.shape[0]} pixels, need {THUMB_SIDE} a side")
    small = cv2.resize(pixels, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def encode_thumb(thumb: Thumbs) -> bytes:
    """Return a thumbnail compressed, for the journal."""
    return zlib.compress(thumb.tobytes(), 9)


def decode_thumb(data: bytes) -> Thumbs:
    """Return a thumbnail (24, 24) from what :func:`encode_thumb` made of it.

    Raises:
        ShapeError: If the data are not a thumbnail.
    """
    try:
        return np.frombuffer(zlib.decompress(data), np.uint8).reshape(THUMB_SIDE, THUMB_SIDE)
    except (ValueError, zlib.error):
        raise ShapeError("duplicates: a thumbnail of the journal is damaged") from None


def hash_thumbs(thumbs: Thumbs) -> Hashes:
    """Return a 64-bit perceptual hash of every thumbnail: the signs of its 8x8 lowest frequencies against their median.

    Args:
        thumbs: (N, 24, 24) uint8.
    """
    frequency = np.arange(1, _HASH_SIDE + 1)[:, None]  # without the mean of each row and column
    basis = np.cos(np.pi * frequency * (np.arange(THUMB_SIDE) + 0.5) / THUMB_SIDE)
    hashes = np.empty(len(thumbs), np.uint64)
    for first in range(0, len(thumbs), _BATCH):
        part = thumbs[first : first + _BATCH].astype(np.float64)
        spectrum = (basis @ part @ basis.T).reshape(len(part), -1)
        bits = spectrum > np.median(spectrum, axis=1, keepdims=True)
        hashes[first : first + _BATCH] = np.packbits(bits, axis=1).view(np.uint64).ravel()
    return hashes


@dataclass(frozen=True, eq=False)
class Distinct:
    """What remains when duplicates are left out.

    Attributes:
        kept: Positions that are kept, best first.
        original: Position of a duplicate to the position of the kept one it repeats.
    """

    kept: NDArray[np.int64]
    original: dict[int, int] = field(default_factory=dict)


def choose_distinct(
    order: NDArray[np.int64], thumbs: Thumbs, keep: int, *, mirrored: bool = False, sure: int = 0
) -> Distinct:
    """Return the first `keep` pictures of an order that repeat none before them.

    Args:
        order: Positions in `thumbs`, best first.
        thumbs: (N, 24, 24) uint8.
        keep: How many to keep, at least 1.
        mirrored: Count a picture's mirror image as the same.
        sure: So many pictures at the beginning of the order are kept whatever they repeat.
    Raises:
        ConfigError: If `keep` is below 1.
    """
    if keep < 1:
        raise ConfigError(f"keep: got {keep}, need at least 1")
    hashes = hash_thumbs(thumbs)
    looks = [(thumbs, hashes)]
    if mirrored:
        flipped = thumbs[:, :, ::-1]
        looks.append((flipped, hash_thumbs(flipped)))
    kept = np.empty(min(keep, len(order)), np.int64)
    kept_hashes = np.empty(len(kept), np.uint64)
    count = 0
    original: dict[int, int] = {}
    for position in order.tolist():
        if count == keep:
            break
        for look, look_hashes in looks if count >= sure else []:
            distance = np.bitwise_count(kept_hashes[:count] ^ look_hashes[position])
            near = kept[np.flatnonzero(distance <= MAX_HASH_DISTANCE)]
            if len(near):
                differences = measure_difference(look[position], thumbs[near])
                best = int(np.argmin(differences))
                if differences[best] <= MAX_DIFFERENCE:
                    original[position] = int(near[best])
                    break
        else:
            kept[count], kept_hashes[count] = position, hashes[position]
            count += 1
    return Distinct(kept[:count], original)


def measure_difference(thumb: Thumbs, others: Thumbs) -> NDArray[np.float64]:
    """Return which part of the contrast of other pictures a picture cannot explain, 0 (the same) to 1 (unrelated).

    Brightness, contrast and small motions do not count: faces are aligned by landmarks that nobody places twice alike.
    To first order a moved picture is the picture plus a mixture of its gradients; the others are projected on the
    picture, a constant, and its two gradients with weights 1, x and y (all affine motions), and the rest is measured.

    Args:
        thumb: (24, 24) uint8.
        others: (N, 24, 24) uint8.
    Returns:
        Shape (N,).
    """
    inner = slice(_MARGIN, THUMB_SIDE - _MARGIN)
    picture = _smooth(thumb)
    down: NDArray[np.float64] = np.gradient(picture, axis=0)
    along: NDArray[np.float64] = np.gradient(picture, axis=1)
    x = (np.arange(THUMB_SIDE) - (THUMB_SIDE - 1) / 2) / THUMB_SIDE
    y = x[:, None]
    parts = (along, down, x * along, y * along, x * down, y * down, picture, np.ones_like(picture))
    basis = np.linalg.qr(np.stack([part[inner, inner].ravel() for part in parts], axis=1))[0]
    rows = np.stack([_smooth(other)[inner, inner].ravel() for other in others])
    rows -= rows.mean(axis=1, keepdims=True)
    rest = rows - (rows @ basis) @ basis.T
    # Contrast below a grey level is rounding: two dark pictures are not the same for that.
    contrast = np.maximum(np.linalg.norm(rows, axis=1), rows.shape[1] ** 0.5)
    return np.asarray(np.linalg.norm(rest, axis=1) / contrast, np.float64)


def _smooth(thumb: Thumbs) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(thumb.astype(np.float64), (0, 0), _SMOOTHING))
