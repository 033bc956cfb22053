"""The shape of the networks as plain data: readable without torch, stored in checkpoints and compared on resume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from celebahq_tools.errors import ConfigError, ShapeError

Activation = Literal["lrelu", "relu", "linear"]
Norm = Literal["none", "pixel", "batch", "layer"]


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of both networks. ``level`` counts doublings of the base grid: 4x4 is level 0, 1024x1024 level 8.

    Attributes:
        levels: Doublings from the base grid to the full resolution.
        base_height, base_width: Grid of level 0; 4x4, or for example 5x4 for 160x128 at level 5.
        channels: Image channels, 3 or 1.
        labels: Classes of an AC-GAN; 0 without.
        latent_size: Length of a latent vector.
        normalize_latents: Put latents on the hypersphere.
        fmap_base, fmap_max: Maps at level ``l`` are min(int(fmap_base / 2^(l+1)), fmap_max).
        d_fmap_base: Other ``fmap_base`` for the discriminator; 0 takes the same.
        convs_per_block: 2, or 1 for the tiny networks of the mode recovery test (Metz et al. 2016), whose
            discriminator reads RGB with its first 3x3 convolution.
        equalized: Equalised learning rate.
        g_norm, d_norm: Normalisation after convolutions.
        g_activation, g_tanh: Activation of the generator, and tanh on its image.
        stddev: Minibatch standard deviation over the whole batch, in groups of 4, or none.
        discrimination_kernels: Minibatch discrimination features; 0 without.
        fused_downscale: Average before bias and activation (TensorFlow program), which folds the averaging into the
            convolution; otherwise after (paper).
    """

    levels: int
    base_height: int = 4
    base_width: int = 4
    channels: int = 3
    labels: int = 0
    latent_size: int = 512
    normalize_latents: bool = True
    fmap_base: int = 8192
    fmap_max: int = 512
    d_fmap_base: int = 0
    convs_per_block: Literal[1, 2] = 2
    equalized: bool = True
    g_norm: Norm = "pixel"
    d_norm: Norm = "none"
    g_activation: Activation = "lrelu"
    g_tanh: bool = False
    stddev: Literal["batch", "groups", "none"] = "batch"
    discrimination_kernels: int = 0
    fused_downscale: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.levels <= 12:
            raise ConfigError(f"levels {self.levels}: between 0 (4x4) and 12")
        if min(self.base_height, self.base_width) < 1 or self.channels < 1 or self.labels < 0 or self.latent_size < 1:
            raise ConfigError("network: base grid, channels and latent_size must be positive, labels at least 0")
        if min(count_maps(self, level) for level in range(self.levels + 1)) < 1:
            raise ConfigError(f"fmap_base {self.fmap_base}: no feature maps left at level {self.levels}; use more")

    def resolution(self, level: int) -> tuple[int, int]:
        """Return (height, width) of a level in pixels."""
        return self.base_height << level, self.base_width << level


def count_maps(config: NetworkConfig, level: int, *, discriminator: bool = False) -> int:
    """Return the feature maps at a level: nf(stage) = min(int(fmap_base / 2^stage), fmap_max), stage = level + 1."""
    base = (config.d_fmap_base or config.fmap_base) if discriminator else config.fmap_base
    return min(int(base / 2 ** (level + 1)), config.fmap_max)


def choose_grid(height: int, width: int) -> tuple[int, int, int]:
    """Return (base_height, base_width, levels) of an image size.

    The shorter side is 4 times a power of two; the longer one a whole number of base cells: 160x128 is 5x4 doubled 5
    times.

    Args:
        height, width: Image size in pixels.
    Raises:
        ShapeError: If no grid of that kind exists; the message names the nearest size.
    """
    short, long = min(height, width), max(height, width)
    levels = max(short // 4, 1).bit_length() - 1
    if short != 4 << levels:
        below, above = 4 << levels, 8 << levels
        raise ShapeError(
            f"{width}x{height} images: the shorter side must be 4 times a power of two "
            f"(4, 8, 16, ... 1024), and {short} is not; resize or crop to {below} or {above}"
        )
    if long % (1 << levels):
        raise ShapeError(
            f"{width}x{height} images: with a shorter side of {short}, the longer must be a multiple of "
            f"{1 << levels}; crop it to {long - long % (1 << levels)}"
        )
    return height >> levels, width >> levels, levels
