"""Generator and discriminator of Table 2, for any depth, base grid, channel count and number of labels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from celebahq_tools.errors import ShapeError
from pggan_core.architecture import NetworkConfig, count_maps
from pggan_core.distributed import Share
from pggan_core.layers import (
    Conv,
    Dense,
    MinibatchDiscrimination,
    NoiseSource,
    Projection,
    activate,
    downsample,
    make_norm,
    minibatch_stddev,
    pixel_norm,
    upsample,
)


class Generator(nn.Module):
    """Latents and labels to images of one level, fading in from the level below."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        equalized = config.equalized
        maps = [count_maps(config, level) for level in range(config.levels + 1)]
        self.project = Projection(
            config.latent_size + config.labels, maps[0], config.base_height, config.base_width, equalized=equalized
        )
        self.project_norm = make_norm(config.g_norm, maps[0])
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        for level, width in enumerate(maps):
            layers: list[nn.Module] = []
            if level > 0:
                layers.append(Conv(maps[level - 1], width, resize="up", equalized=equalized))
            if config.convs_per_block == 2:
                layers.append(Conv(width, width, equalized=equalized))
            self.convs.append(nn.ModuleList(layers))
            self.norms.append(nn.ModuleList(make_norm(config.g_norm, width) for _ in layers))
        self.to_rgb = nn.ModuleList(Conv(width, config.channels, 1, gain=1.0, equalized=equalized) for width in maps)

    def forward(self, latents: Tensor, labels: Tensor | None = None, *, level: int, alpha: float = 1.0) -> Tensor:
        """Return images in about [-1, 1].

        Args:
            latents: (N, latent_size), normal.
            labels: One-hot (N, labels), for a network with labels.
            level: Resolution to synthesise, 0 is the base grid.
            alpha: Weight of the new level against the upsampled old one; 1 leaves the old one out.
        Returns:
            (N, channels, height, width) of the level.
        """
        return self.synthesize(self.embed(latents, labels), level=level, alpha=alpha)

    def embed(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the features (N, maps, base_height, base_width) that the first layer makes of latents and labels."""
        x = _join_labels(latents, labels, self.config.labels)
        if self.config.normalize_latents:
            x = pixel_norm(x)
        return self._finish(self.project(x), self.project_norm)

    def synthesize(self, x: Tensor, *, level: int, alpha: float = 1.0) -> Tensor:
        """Return the images of features made by :meth:`embed`; see :meth:`forward`."""
        for convs, norms in zip(self.convs[: level + 1], self.norms[: level + 1], strict=True):
            previous = x
            for conv, norm in zip(convs, norms, strict=True):  # type: ignore[call-overload]
                x = self._finish(conv(x), norm)
        image: Tensor = self.to_rgb[level](x)
        if level > 0 and alpha < 1.0:
            image = torch.lerp(upsample(self.to_rgb[level - 1](previous)), image, alpha)
        return image.tanh() if self.config.g_tanh else image

    def _finish(self, x: Tensor, norm: nn.Module) -> Tensor:
        if self.config.g_norm == "pixel":
            normalised: Tensor = norm(activate(x, self.config.g_activation))
            return normalised
        return activate(norm(x), self.config.g_activation)


class Discriminator(nn.Module):
    """Images of one level to scores and label logits, the mirror image of the generator."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        equalized = config.equalized
        single = config.convs_per_block == 1
        maps = [count_maps(config, level, discriminator=True) for level in range(config.levels + 1)]
        # Maps that enter the block of each level. The single-convolution network has no maps between RGB and its
        # first 3x3 convolution: a block's convolution puts out its own level's count.
        entering = [*maps[1:], config.channels] if single else maps
        self.from_rgb = nn.ModuleList(
            nn.Identity()
            if single and level == config.levels
            else Conv(config.channels, entering[level], 1, equalized=equalized)
            for level in range(config.levels + 1)
        )
        resize: Literal["down", "none"] = "down" if config.fused_downscale else "none"
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        for level in range(1, config.levels + 1):
            leaving = maps[level] if single else maps[level - 1]
            layers: list[nn.Module] = [] if single else [Conv(maps[level], maps[level], equalized=equalized)]
            layers.append(Conv(entering[level], leaving, resize=resize, equalized=equalized))
            widths = [leaving] if single else [maps[level], leaving]
            self.convs.append(nn.ModuleList(layers))
            self.norms.append(nn.ModuleList(make_norm(config.d_norm, width) for width in widths))
        last = entering[0]
        pixels = config.base_height * config.base_width
        features = last + (config.stddev != "none")
        self.last_conv: Conv | None = None
        self.last_dense: Dense | None = None
        if single:
            features *= pixels
        else:
            self.last_conv = Conv(features, last, equalized=equalized)
            self.last_dense = Dense(last * pixels, last, equalized=equalized)
            self.last_norms = nn.ModuleList(make_norm(config.d_norm, last) for _ in range(2))
            features = last
        self.discriminate: MinibatchDiscrimination | None = None
        if config.discrimination_kernels:
            self.discriminate = MinibatchDiscrimination(features, config.discrimination_kernels)
            features += config.discrimination_kernels
        self.score = Dense(features, 1 + config.labels, gain=1.0, equalized=equalized)

    @property
    def joins_batches(self) -> bool:
        """Whether several batches can be scored in one pass with the same result."""
        return self.config.d_norm != "batch" and self.config.discrimination_kernels == 0

    def forward(
        self,
        images: Tensor,
        *,
        level: int,
        alpha: float = 1.0,
        noise: NoiseSource | None = None,
        batches: int = 1,
        share: Share | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return scores (N,) and label logits (N, labels).

        Args:
            images: (N, channels, height, width) of the level, in [-1, 1].
            level: Resolution of the images, 0 is the base grid.
            alpha: Weight of the new level against the old one; 1 leaves the old one out.
            noise: Multiplicative noise on the input of every 3x3 and 4x4 convolution.
            batches: Equal batches that ``images`` joins; statistics over the minibatch are taken within each. Needs
                ``joins_batches`` when above 1.
            share: Which part of a minibatch of several processes each batch is; None where there is one process.
        Raises:
            ShapeError: If the images are not of that level.
        """
        expected = (self.config.channels, *self.config.resolution(level))
        if tuple(images.shape[1:]) != expected:
            raise ShapeError(f"discriminator at level {level} needs images {expected}, got {tuple(images.shape[1:])}")
        x = self._read_rgb(images, level)
        if level > 0:
            x = self._run_block(x, level, noise)
            if alpha < 1.0:
                x = torch.lerp(self._read_rgb(downsample(images), level - 1), x, alpha)
            for lower in range(level - 1, 0, -1):
                x = self._run_block(x, lower, noise)
        return self._judge(x, noise, batches, share)

    def _read_rgb(self, images: Tensor, level: int) -> Tensor:
        layer = self.from_rgb[level]
        return images if isinstance(layer, nn.Identity) else activate(layer(images), "lrelu")

    def _run_block(self, x: Tensor, level: int, noise: NoiseSource | None) -> Tensor:
        for conv, norm in zip(self.convs[level - 1], self.norms[level - 1], strict=True):  # type: ignore[call-overload]
            x = activate(norm(conv(noise.apply(x) if noise else x)), "lrelu")
        return x if self.config.fused_downscale else downsample(x)

    def _judge(self, x: Tensor, noise: NoiseSource | None, batches: int, share: Share | None) -> tuple[Tensor, Tensor]:
        if self.config.stddev != "none":
            group = 4 if self.config.stddev == "groups" else None
            x = torch.cat([minibatch_stddev(batch, group, share=share) for batch in x.chunk(batches)])
        if self.last_conv is not None and self.last_dense is not None:
            x = activate(self.last_norms[0](self.last_conv(noise.apply(x) if noise else x)), "lrelu")
            # The 4x4 convolution of Table 2 covers its whole input: a dense layer.
            x = (noise.apply(x) if noise else x).flatten(1)
            x = activate(self.last_norms[1](self.last_dense(x)), "lrelu")
        x = x.flatten(1)
        if self.discriminate is not None:
            x = self.discriminate(x, share)
        scores: Tensor = self.score(x)
        return scores[:, 0], scores[:, 1:]


def _join_labels(latents: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    given = 0 if labels is None else labels.shape[1]
    if given != classes:
        raise ShapeError(f"the generator was built for {classes} labels, got {given}")
    return latents if labels is None else torch.cat([latents, labels], dim=1)
