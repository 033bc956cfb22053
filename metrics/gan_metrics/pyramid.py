"""The Laplacian pyramid of Burt and Adelson (1983), as the sliced Wasserstein distance uses it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ShapeError

MIN_SIDE = 16


def list_level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return (height, width) of every pyramid level, largest first.

    Each level halves both sides, rounding up; the last is the smallest whose shorter side is still 16 or more.
    A 1024x1024 image gives 1024, 512, ..., 16.

    Raises:
        ShapeError: If the image is smaller than 16 pixels on a side.
    """
    if min(height, width) < MIN_SIDE:
        raise ShapeError(f"images of {height}x{width}: a pyramid needs at least {MIN_SIDE} pixels on each side")
    sizes = [(height, width)]
    while True:
        height, width = (height + 1) // 2, (width + 1) // 2
        if min(height, width) < MIN_SIDE:
            return sizes
        sizes.append((height, width))


def name_level_size(height: int, width: int) -> str:
    """Return how reports call a level: ``"64"`` if square, else ``"60x64"`` (height x width)."""
    return str(height) if height == width else f"{height}x{width}"


def decompose_image(image: NDArray[np.uint8] | NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the Laplacian pyramid of one image.

    Every level but the last holds what the next smaller one cannot express: ``g[i] - up(g[i+1])``; the last is the
    low-pass residual. Down: binomial [1, 4, 6, 4, 1]/16 in both directions, mirrored without repeating the edge, every
    second pixel. Up: zeros between pixels and the same kernel times four. Both are cv2's pyrDown and pyrUp.

    Args:
        image: (H, W, 3), values 0..255.
    Returns:
        Levels (h, w, 3) float32 of the sizes of :func:`list_level_sizes`; their sum, each upsampled, is the image.
    Raises:
        ShapeError: If the image is smaller than 16 pixels on a side.
    """
    sizes = list_level_sizes(*image.shape[:2])
    current = np.asarray(image, dtype=np.float32)
    levels = []
    for height, width in sizes[1:]:
        smaller = cv2.pyrDown(current, dstsize=(width, height))
        expanded = cv2.pyrUp(smaller, dstsize=(current.shape[1], current.shape[0]))
        levels.append(np.subtract(current, expanded, out=expanded))
        current = np.asarray(smaller, dtype=np.float32)
    levels.append(current)
    return [np.asarray(level, dtype=np.float32) for level in levels]


def reconstruct_image(levels: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the image a pyramid came from, (H, W, 3) float32; the inverse of :func:`decompose_image`."""
    current = levels[-1]
    for level in reversed(levels[:-1]):
        current = level + cv2.pyrUp(current, dstsize=(level.shape[1], level.shape[0]))
    return current


def laplacian_pyramid(images: NDArray[np.uint8] | NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the Laplacian pyramids of a batch.

    Args:
        images: (N, 3, H, W), values 0..255.
    Returns:
        One array (N, 3, h, w) float32 per level, largest first; see :func:`decompose_image`.
    Raises:
        ShapeError: If the shape is another or the images are smaller than 16 pixels on a side.
    """
    if images.ndim != 4 or images.shape[1] != 3 or len(images) == 0:
        raise ShapeError(f"images: expected (N, 3, H, W) with N > 0, got {images.shape}")
    pyramids = [decompose_image(np.ascontiguousarray(image.transpose(1, 2, 0))) for image in images]
    return [np.stack([level.transpose(2, 0, 1) for level in levels]) for levels in zip(*pyramids, strict=True)]
