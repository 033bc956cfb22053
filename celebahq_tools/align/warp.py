"""Resample an oriented crop to the output square: 4x4 bilinear samples per output pixel, then a box or Lanczos filter.

Samples lie at index coordinates NW + i/n (NE - NW) + j/n (SW - NW), i and j = 0 .. n-1 with n = 4 * out_size. This is
where the original's samples lie; see docs/alignment.md. The n x n image exists only as strips that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from celebahq_tools.align.quad import OrientedCrop
from celebahq_tools.errors import ConfigError
from celebahq_tools.types import Pixels

Resample = Literal["box", "lanczos"]

SUPERSAMPLING = 4
# 2^17 samples of four bytes fit the second-level cache of any recent core together with the rows they come from.
BOX_STRIP_SAMPLES = 1 << 17
# Pillow strips overlap by the filter's reach, so they are taller.
LANCZOS_STRIP_ROWS = 64
# Lanczos-3 stretched by the supersampling reaches this many samples.
LANCZOS_REACH = 3 * SUPERSAMPLING
# Bilinear interpolation reads one pixel further than the corners.
SAMPLE_MARGIN = 2


def warp_crop(pixels: Pixels, crop: OrientedCrop, out_size: int, resample: Resample = "box") -> Pixels:
    """Return the oriented crop, upright.

    Args:
        pixels: RGB, uint8, shape (H, W, 3). Where the crop leaves it, the border pixel is repeated.
        crop: In coordinates of these pixels.
        out_size: Pixels per side of the result.
        resample: ``box`` averages 4x4 samples (the paper); ``lanczos`` filters truncated 8-bit samples with
            Pillow's Lanczos-3, which gives the pixels of the original program.
    Returns:
        RGB, uint8, shape (out_size, out_size, 3).
    Raises:
        ConfigError: If the resampling is unknown.
    """
    filters: dict[str, Callable[[Pixels, OrientedCrop, int], Pixels]] = {"box": _warp_box, "lanczos": _warp_lanczos}
    if resample not in filters:
        raise ConfigError(f"unknown resampling {resample!r}; known: {', '.join(filters)}")
    return filters[resample](*_cut_bounds(pixels, crop), out_size)


def _cut_bounds(pixels: Pixels, crop: OrientedCrop) -> tuple[Pixels, OrientedCrop]:
    """Return the part of an image that a crop reads, so that nothing else is converted or copied."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = crop.bounds()
    left, top = (min(max(low - SAMPLE_MARGIN, 0), size - 1) for low, size in ((left, width), (top, height)))
    right, bottom = max(right + SAMPLE_MARGIN, left) + 1, max(bottom + SAMPLE_MARGIN, top) + 1
    return pixels[top:bottom, left:right], crop.shifted(-left, -top)


def _warp_box(pixels: Pixels, crop: OrientedCrop, out_size: int) -> Pixels:
    samples = SUPERSAMPLING * out_size
    along, down = crop.steps(samples)
    rows = min(max(BOX_STRIP_SAMPLES // (SUPERSAMPLING * samples), 1), out_size)
    # Four channels: cv2's interpolation of three is not vectorised and takes more than twice the time.
    source = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    result = np.empty((out_size, out_size, 3), np.uint8)
    for top in range(0, out_size, rows):
        count = min(rows, out_size - top)
        origin = crop.corners[0] + down * (SUPERSAMPLING * top)
        strip = cv2.warpAffine(
            source,
            np.stack([along, down, origin], axis=1),
            (samples, SUPERSAMPLING * count),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        # Three channels again: the mean of three is faster than that of four.
        samples_rgb = cv2.cvtColor(strip, cv2.COLOR_RGBA2RGB)
        # At an integer factor INTER_AREA is the plain mean of the samples, rounded once.
        cv2.resize(samples_rgb, (out_size, count), dst=result[top : top + count], interpolation=cv2.INTER_AREA)
    return result


def _warp_lanczos(pixels: Pixels, crop: OrientedCrop, out_size: int) -> Pixels:
    # One repeated pixel around: Pillow leaves samples outside of the image black.
    source = Image.fromarray(cv2.copyMakeBorder(pixels, 1, 1, 1, 1, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False))
    samples = SUPERSAMPLING * out_size
    along, down = crop.steps(samples)
    result = np.empty((out_size, out_size, 3), np.uint8)
    for top in range(0, out_size, LANCZOS_STRIP_ROWS):
        bottom = min(top + LANCZOS_STRIP_ROWS, out_size)
        first = max(SUPERSAMPLING * top - LANCZOS_REACH, 0)
        last = min(SUPERSAMPLING * bottom + LANCZOS_REACH, samples)
        # Pillow evaluates at centres of output pixels and counts from pixel corners: take half a step off, and add
        # the half pixel and the repeated one.
        origin = crop.corners[0] + down * first - (along + down) / 2 + 1.5
        strip = source.transform(
            (samples, last - first),
            Image.Transform.AFFINE,
            (along[0], down[0], origin[0], along[1], down[1], origin[1]),
            Image.Resampling.BILINEAR,
        )
        box = (0, SUPERSAMPLING * top - first, samples, SUPERSAMPLING * bottom - first)
        result[top:bottom] = np.asarray(strip.resize((out_size, bottom - top), Image.Resampling.LANCZOS, box=box))
    return result
