"""Images of a trained generator, each a function of the seed and its number alone, whatever the batch size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from celebahq_tools.errors import ConfigError
from pggan_core.generator_file import TrainedGenerator
from pggan_core.sampling import to_pixels

# At most this many output pixels are computed together: 1 image at 1024x1024 takes about half a gigabyte.
_BLOCK_PIXELS = 1 << 20
_MOST_PER_BLOCK = 64
# Latents behind the mean features that truncation moves towards. They are always the same.
_MEAN_COUNT = 4096
_MEAN_SEED = 0x5EED


def draw_latent(seed: int, index: int, size: int) -> NDArray[np.float32]:
    """Return the latent vector of an image, N(0, 1), which depends on nothing but the arguments.

    Args:
        seed: Of the whole set, at least 0.
        index: Number of the image.
        size: Length of the vector.
    Returns:
        (size,) float32.
    """
    return np.random.default_rng((seed, index)).standard_normal(size, dtype=np.float32)


class Drawer:
    """Draws pixels of latents, identical to the last bit however the latents are grouped.

    Arithmetic libraries choose their order of summation by the size of the batch, and rounding follows. The networks
    therefore always see blocks of one size, the last one filled up, and an image always has the same place in its
    block.

    Args:
        trained: The generator and where its training stood.
        device: Where to compute.
        psi: Truncation; 1 for none. Features ``x`` of the first layer (activated and normalised, on the base grid) are
            moved to ``m + psi * (x - m)``, ``m`` their mean over latents (and, in networks with labels, over latents of
            the same class). This is the truncation trick of Karras et al. 2019 (StyleGAN, Section 2 and appendix B)
            with the first layer in place of the mapping network, which the progressive GAN does not have. Scaling or
            clipping the latents themselves, as Brock et al. 2019 do, has little or no effect here: they are normalised.
    Raises:
        ConfigError: If psi is not a finite number of at least 0.
    """

    def __init__(self, trained: TrainedGenerator, *, device: torch.device, psi: float = 1.0) -> None:
        if not (math.isfinite(psi) and psi >= 0):
            raise ConfigError(f"truncation {psi}: must be at least 0; 1 draws all of the variation, 0.7 less, 0 none")
        self._network = trained.network.to(device)
        self._level, self._alpha = trained.level, trained.alpha
        self._device, self._psi = device, psi
        self.config = trained.network.config
        height, width = self.config.resolution(trained.level)
        self.block = max(1, min(_MOST_PER_BLOCK, _BLOCK_PIXELS // (height * width)))
        self._mean = lru_cache(maxsize=None)(self._compute_mean)

    def draw(self, latents: NDArray[np.float32], classes: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """Return images (N, C, H, W) uint8.

        Args:
            latents: (N, latent_size). Blocks are counted from the first: to have the same bits in several calls, begin
                each at a multiple of ``block``.
            classes: (N,) class of each, for networks with labels.
        """
        images = [
            self._draw_block(latents[start : start + self.block], self._encode(classes, start))
            for start in range(0, len(latents), self.block)
        ]
        return np.concatenate(images)

    def _encode(self, classes: NDArray[np.int64] | None, start: int) -> NDArray[np.int64] | None:
        return classes[start : start + self.block] if classes is not None and self.config.labels else None

    @torch.inference_mode()
    def _draw_block(self, latents: NDArray[np.float32], classes: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        count = len(latents)
        features = self._network.embed(*self._prepare(latents, classes, self.block))
        if self._psi != 1.0:
            means = [self._mean(None if classes is None else int(classes[row])) for row in range(count)]
            mean = torch.stack(means + means[-1:] * (self.block - count))
            features = torch.lerp(mean, features, self._psi)
        images = self._network.synthesize(features, level=self._level, alpha=self._alpha)
        return to_pixels(images[:count])

    def _prepare(
        self, latents: NDArray[np.float32], classes: NDArray[np.int64] | None, block: int
    ) -> tuple[Tensor, Tensor | None]:
        """Return a whole block on the device: latents, and labels if there are any."""
        count = len(latents)
        padded = torch.zeros(block, self.config.latent_size)
        padded[:count] = torch.from_numpy(latents)
        if classes is None:
            return padded.to(self._device), None
        labels = torch.zeros(block, self.config.labels)
        labels[torch.arange(count), torch.from_numpy(classes)] = 1
        return padded.to(self._device), labels.to(self._device)

    def _compute_mean(self, label: int | None) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for start in range(0, _MEAN_COUNT, _MOST_PER_BLOCK):
            rows = range(start, start + _MOST_PER_BLOCK)
            latents = np.stack([draw_latent(_MEAN_SEED, row, self.config.latent_size) for row in rows])
            classes = None if label is None else np.full(len(rows), label)
            features = self._network.embed(*self._prepare(latents, classes, _MOST_PER_BLOCK))
            total = total + features.double().sum(dim=0)
        return (total / _MEAN_COUNT).float()


def choose_classes(labels: int, indices: range, wanted: int | None = None) -> NDArray[np.int64] | None:
    """Return the class of each image: the wanted one, or all in turn (image ``i`` has class ``i mod labels``).

    Returns:
        (N,), or None for a network without labels.
    Raises:
        ConfigError: If the network has no such class.
    """
    if wanted is not None and not 0 <= wanted < labels:
        has = f"has classes 0 to {labels - 1}" if labels else "was trained without labels"
        raise ConfigError(f"class {wanted}: the network {has}")
    if not labels:
        return None
    return np.full(len(indices), wanted) if wanted is not None else np.asarray(indices) % labels


def draw_images(
    drawer: Drawer, count: int, *, seed: int, wanted_class: int | None = None, batch_size: int = 64
) -> Iterator[NDArray[np.uint8]]:
    """Yield images (n, C, H, W) uint8, ``batch_size`` at a time.

    Image ``i`` depends on the network, the seed and ``i`` alone: not on the count, and not on the batch size.

    Args:
        drawer: Draws them.
        count: How many in all.
        seed: Of the latents.
        wanted_class: Class of all of them; the classes take turns if omitted.
        batch_size: Images to yield at a time, which bounds the memory.
    Raises:
        ConfigError: If the network has no such class.
    """
    waiting: list[NDArray[np.uint8]] = []
    held = 0
    for start in range(0, count, drawer.block):
        indices = range(start, min(start + drawer.block, count))
        latents = np.stack([draw_latent(seed, index, drawer.config.latent_size) for index in indices])
        waiting.append(drawer.draw(latents, choose_classes(drawer.config.labels, indices, wanted_class)))
        held += len(indices)
        while held >= batch_size or (held and indices.stop == count):
            images = np.concatenate(waiting)
            yield images[:batch_size]
            waiting = [images[batch_size:]]
            held = len(waiting[0])
