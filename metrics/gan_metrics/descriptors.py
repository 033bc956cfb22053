"""Descriptors of the sliced Wasserstein distance: 7x7x3 neighbourhoods of pyramid levels, and their normalisation."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ShapeError

SIDE = 7
PER_IMAGE = 128
LENGTH = SIDE * SIDE * 3
_DIGEST_BYTES = 16


def hash_image(pixels: NDArray[np.uint8]) -> bytes:
    """Return 16 bytes that depend on the pixels and shape of a (3, H, W) uint8 image and on nothing else.

    Equal images have equal hashes whatever file, format, batch or order they came in.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    digest.update(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def draw_centres(
    digest: bytes, seed: int, sizes: list[tuple[int, int]], count: int = PER_IMAGE
) -> list[NDArray[np.int64]]:
    """Return the centres of one image's neighbourhoods, uniform over all places where 7x7 fits.

    They follow from the image's content and the seed, so that neither the order of the files nor the number of
    threads changes them. Raw generator bits are scaled by hand because numpy promises those, and not the streams of
    its distributions, to stay the same across versions; the deviation from uniform is below 2^-50.

    Args:
        digest: From :func:`hash_image`.
        seed: Any non-negative integer.
        sizes: (height, width) of the pyramid levels.
        count: Neighbourhoods per level.
    Returns:
        One array (count, 2) of (row, column) per level, rows in [3, height - 4].
    """
    key = hashlib.blake2b(digest, digest_size=16, salt=seed.to_bytes(16, "little", signed=False)).digest()
    bits = np.random.Philox(key=int.from_bytes(key, "little")).random_raw(len(sizes) * count * 2)
    fractions = (bits >> np.uint64(11)).reshape(len(sizes), count, 2) * 2.0**-53
    spans = np.array(sizes, dtype=np.int64) - (SIDE - 1)
    return list((fractions * spans[:, None, :]).astype(np.int64) + SIDE // 2)


def extract_descriptors(
    level: NDArray[np.float32], centres: NDArray[np.int64], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the neighbourhoods of one pyramid level.

    Args:
        level: (H, W, 3) float32.
        centres: (count, 2) of (row, column), each at least 3 from every edge.
        out: (count, 147) float32 to fill and return.
    Returns:
        (count, 147) float32, in the order channel, column, row: the original program's.
    Raises:
        ShapeError: If a neighbourhood would leave the level.
    """
    height, width, channels = level.shape
    corners = centres - SIDE // 2
    if corners.min() < 0 or np.any(corners + SIDE > (height, width)):
        raise ShapeError(f"a {SIDE}x{SIDE} neighbourhood leaves the level of {height}x{width}")
    starts = (corners[:, 0] * width + corners[:, 1]) * channels
    offsets = _list_offsets(width, channels)
    # take is faster than fancy indexing, and the check above makes clipping harmless.
    places = starts[:, None] + offsets
    return np.asarray(np.take(np.ascontiguousarray(level).reshape(-1), places, out=out, mode="clip"))


@lru_cache(maxsize=64)
def _list_offsets(width: int, channels: int) -> NDArray[np.int64]:
    """Return where the 147 values of a neighbourhood lie from its corner, in a flat (H, width, channels) level."""
    channel, column, row = np.meshgrid(np.arange(channels), np.arange(SIDE), np.arange(SIDE), indexing="ij")
    return ((row * width + column) * channels + channel).ravel()


def sum_channels(descriptors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return per-channel sums and sums of squares, shape (..., 2, 3) float64, of descriptors (..., N, 147)."""
    values = descriptors.astype(np.float64)
    columns = np.stack([values.sum(axis=-2), np.einsum("...ij,...ij->...j", values, values)], axis=-2)
    return np.asarray(columns.reshape(*columns.shape[:-1], 3, SIDE * SIDE).sum(axis=-1))


def compute_channel_moments(sums: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation per channel from sums over images.

    ``math.fsum`` rounds once, so that the order of the images cannot change the last bit.

    Args:
        sums: (images, 2, 3) from :func:`sum_channels`.
        count: Values per channel over all images.
    Returns:
        Mean and population standard deviation, each (3,) float64. A channel without any variation gets 1: its
        descriptors normalise to zero and not to NaN.
    """
    total = np.array([[math.fsum(sums[:, row, channel]) for channel in range(3)] for row in range(2)]) / count
    variance = total[1] - np.square(total[0])
    # What rounding leaves of a constant channel is not variation.
    constant = variance <= 1e-12 * np.maximum(total[1], 1e-12)
    return total[0], np.sqrt(np.where(constant, 1.0, variance))


def normalise_descriptors(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return descriptors with mean 0 and standard deviation 1 per channel, over all descriptors and pixels.

    Args:
        descriptors: (N, 147) of one level and one set.
    Raises:
        ShapeError: If the shape is another.
    """
    if descriptors.ndim != 2 or descriptors.shape[1] != LENGTH or len(descriptors) == 0:
        raise ShapeError(f"descriptors: expected (N, {LENGTH}) with N > 0, got {descriptors.shape}")
    mean, std = compute_channel_moments(sum_channels(descriptors)[None], len(descriptors) * SIDE * SIDE)
    values = (descriptors.reshape(len(descriptors), 3, -1) - mean[:, None]) / std[:, None]
    return values.reshape(descriptors.shape).astype(np.float32)
