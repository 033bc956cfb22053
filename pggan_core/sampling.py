"""From pixels to the networks' range and back: cross-faded reals, drawn fakes, image grids."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pggan_core.layers import downsample, upsample
from pggan_core.networks import Generator


def prepare_reals(pixels: Tensor, alpha: float) -> Tensor:
    """Return reals in [-1, 1], faded between themselves and their own lower resolution as the generator's images are.

    Args:
        pixels: (N, C, H, W) uint8.
        alpha: Weight of the full detail; below 1 the 2x2-averaged, nearest-upsampled copy has the rest.
    Returns:
        (N, C, H, W) float32.
    """
    images = pixels.float() / 127.5 - 1
    return images if alpha >= 1.0 else torch.lerp(upsample(downsample(images)), images, alpha)


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Return images (N, C, H, W) in [-1, 1] as uint8, clipped and rounded."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


@torch.no_grad()
def draw_fakes(
    generator: Generator,
    latents: Tensor,
    labels: Tensor | None,
    *,
    level: int,
    alpha: float,
    to_level: int,
) -> NDArray[np.uint8]:
    """Return generated images (N, C, H, W) uint8.

    Args:
        generator: Usually the running average.
        latents: (N, latent_size).
        labels: One-hot (N, labels) or None.
        level, alpha: Where training stands.
        to_level: Repeat pixels up to this level's resolution.
    """
    training = generator.training
    generator.eval()
    images = generator(latents, labels, level=level, alpha=alpha)
    generator.train(training)
    return to_pixels(upsample(images, to_level - level))


def make_grid(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Return images (N, C, H, W) side by side, (rows * H, columns * W, C); missing ones are black."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    padded = np.zeros((rows * columns, channels, height, width), dtype=np.uint8)
    padded[:count] = images
    grid = padded.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(grid.reshape(rows * height, columns * width, channels))
