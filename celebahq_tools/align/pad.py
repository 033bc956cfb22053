"""Mirror padding that fades, like a shallow depth of field, into blur and then into one colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from celebahq_tools.types import Pixels

Floats = npt.NDArray[np.float32]

# The blur starts this far inside the photograph, in units of the padding.
BLUR_REACH = 4 / 3
# A Gaussian of this many low-resolution pixels or more survives linear upsampling to within a tenth of a grey level.
LOW_RESOLUTION_SIGMA = 4.0
# The Gaussian is cut off at this many sigmas, as scipy does.
TRUNCATE = 4.0
# The median is taken over a regular grid of about this many pixels.
MEDIAN_PIXELS = 250_000
# Rows blended at a time: float32 rows of all channels then stay in the cache.
BLEND_ROWS = 16


@dataclass(frozen=True)
class Padding:
    """Pixels to add at the left, top, right and bottom."""

    left: int
    top: int
    right: int
    bottom: int

    def __iter__(self) -> Iterator[int]:
        return iter((self.left, self.top, self.right, self.bottom))


def pad_with_blur(
    pixels: Pixels, padding: Padding, sigma: float, observe: Callable[[Pixels], None] | None = None
) -> Pixels:
    """Return an image padded by reflection on all sides, blurred and faded to its median colour towards the border.

    With d = min(distance to each border / padding of that side) and m = 1 - d, the mirrored image is mixed with its
    Gaussian blur by clip(3m + 1, 0, 1), and then with the median colour of that mixture by clip(m, 0, 1)
    (Karras et al. 2018, appendix C; weights are the original program's). The blur is computed at reduced resolution
    and the median over a grid of pixels; the result is within one grey level of full precision.

    Args:
        pixels: RGB, uint8, shape (H, W, 3).
        padding: At least 1 on every side; may exceed the image, which is then reflected repeatedly.
        sigma: Of the Gaussian, pixels.
        observe: Called with the mirrored image before it is blurred in place.
    Returns:
        RGB, uint8, shape (H + top + bottom, W + left + right, 3).
    """
    left, top, right, bottom = padding
    padded = np.asarray(cv2.copyMakeBorder(pixels, top, bottom, left, right, cv2.BORDER_REFLECT_101), np.uint8)
    if observe is not None:
        observe(padded)
    height, width = padded.shape[:2]
    distance_x = _measure_distance(width, left, right)
    distance_y = _measure_distance(height, top, bottom)
    blur = _LowResolutionBlur(padded, sigma)

    stride = max(math.isqrt(height * width // MEDIAN_PIXELS), 1)
    grid = padded[::stride, ::stride].astype(np.float32)
    _mix(
        grid,
        blur.sample(0, 0, grid.shape[0], grid.shape[1], stride),
        _limit(4 - 3 * _combine(distance_x[::stride], distance_y[::stride])),
    )
    median = np.median(grid.reshape(-1, 3), axis=0).astype(np.float32)
    del grid

    inner = _find_inner(distance_x)
    colour = np.tile(median, (BLEND_ROWS, width, 1))
    for first in range(0, height, BLEND_ROWS):
        rows = slice(first, min(first + BLEND_ROWS, height))
        spans = [slice(0, width)]
        if (distance_y[rows] >= BLUR_REACH).all():
            spans = [slice(0, inner.start), slice(inner.stop, width)]
        for columns in spans:
            if columns.start < columns.stop:
                block = padded[rows, columns].astype(np.float32)
                distance = _combine(distance_x[columns], distance_y[rows])
                # The blur's weight is 3m + 1 with m = 1 - d.
                _mix(block, blur.sample(first, columns.start, block.shape[0], block.shape[1]), _limit(4 - 3 * distance))
                _mix(block, colour[: block.shape[0], : block.shape[1]], _limit(1 - distance))
                padded[rows, columns] = np.rint(block, out=block)
    return padded


def _measure_distance(size: int, before: int, after: int) -> Floats:
    """Return the distance of each pixel to the nearer border, in units of the padding there; shape (size,)."""
    index = np.arange(size, dtype=np.float32)
    distance: Floats = np.minimum(index / np.float32(before), (size - 1 - index) / np.float32(after))
    return distance


def _find_inner(distance: Floats) -> slice:
    """Return the columns that the blur does not reach; they are contiguous."""
    inner = np.flatnonzero(distance >= BLUR_REACH)
    return slice(int(inner[0]), int(inner[-1]) + 1) if len(inner) else slice(len(distance), len(distance))


def _combine(distance_x: Floats, distance_y: Floats) -> Floats:
    combined: Floats = np.minimum(distance_x[None, :], distance_y[:, None])
    return combined


def _limit(weight: Floats) -> Floats:
    """Return weights, shape (H, W), limited to 0..1, in three equal channels.

    numpy broadcasts along a last axis of three many times slower than it multiplies.
    """
    np.maximum(weight, 0, out=weight)
    np.minimum(weight, 1, out=weight)
    return np.asarray(cv2.merge((weight, weight, weight)), np.float32)


def _mix(image: Floats, other: Floats, weight: Floats) -> None:
    """Move an image towards another in place: image += (other - image) * weight."""
    difference = other - image
    difference *= weight
    image += difference


class _LowResolutionBlur:
    """A Gaussian blur held at reduced resolution and interpolated where it is asked for.

    Area reduction by k, sampling and linear interpolation widen the result by (k^2 - 1) / 12 + (k^2 - 1) / 6 square
    pixels (the mean over positions between two samples); the Gaussian is narrowed by as much.

    Args:
        pixels: uint8, shape (H, W, 3).
        sigma: In pixels of that image.
    """

    def __init__(self, pixels: Pixels, sigma: float) -> None:
        self.factor = max(int(sigma / LOW_RESOLUTION_SIGMA), 1)
        # The far borders seldom fall between two blocks: mirror there as far as the Gaussian reaches, so that what it
        # sees beyond them is the mirrored image of the true border.
        reach = math.ceil(TRUNCATE * sigma)
        beyond = [reach + -(size + reach) % self.factor for size in pixels.shape[:2]]
        extended = cv2.copyMakeBorder(pixels, 0, beyond[0], 0, beyond[1], cv2.BORDER_REFLECT)
        height, width = (size // self.factor for size in extended.shape[:2])
        reduced = cv2.resize(extended, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        low_sigma = math.sqrt(sigma**2 - (self.factor**2 - 1) / 4) / self.factor
        # Mirrored with the border pixel repeated, as scipy.ndimage.gaussian_filter does.
        taps = 2 * int(TRUNCATE * low_sigma + 0.5) + 1
        self.low = cv2.GaussianBlur(reduced, (taps, taps), low_sigma, borderType=cv2.BORDER_REFLECT)

    def sample(self, top: int, left: int, height: int, width: int, stride: int = 1) -> Floats:
        """Return the blur of height x width pixels of the image, every stride-th from (left, top); float32."""
        step = stride / self.factor
        # Index coordinates: the centre of the first low-resolution pixel is the middle of its block.
        start_x, start_y = ((start + 0.5) / self.factor - 0.5 for start in (left, top))
        return cv2.warpAffine(
            self.low,
            np.array([[step, 0, start_x], [0, step, start_y]]),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ).astype(np.float32, copy=False)
