"""Pictures of a run: grids of fixed latents and of reals, and the snapshots that metrics look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pggan_core.data import LevelSource
from pggan_core.networks import Generator
from pggan_core.sampling import draw_fakes, make_grid
from pggan_core.schedule import SchedulePoint

_COLUMNS, _ROWS = 8, 4
_BATCH = 64


@dataclass(frozen=True)
class Snapshot:
    """What metrics may look at.

    Attributes:
        images_shown: Real images shown so far.
        draw: Yields that many generated images in batches (n, C, H, W) uint8 at full resolution, from the running
            average of the generator; the same ones for the same moment.
        reals: Yields that many real images in the same form.
        count: Images in the dataset.
    """

    images_shown: int
    draw: Callable[[int], Iterator[NDArray[np.uint8]]]
    reals: Callable[[int], Iterator[NDArray[np.uint8]]]
    count: int


class Gallery:
    """Draws from the running average of the generator, and reads reals to set beside it.

    Args:
        source: Real images.
        average: Running average of the generator.
        device: Where it computes.
        seed: The same latents for the same seed, throughout the run and after a resume.
    """

    def __init__(self, source: LevelSource, average: Generator, device: torch.device, seed: int) -> None:
        self._source, self._average, self._device, self._seed = source, average, device, seed

    def take_snapshot(self, images_shown: int, point: SchedulePoint) -> Snapshot:
        """Return what metrics may look at now; it is drawn when they ask for it."""
        return Snapshot(images_shown, lambda count: self._draw(count, point), self._read, len(self._source))

    def draw_grid(self, point: SchedulePoint) -> NDArray[np.uint8]:
        """Return generated images side by side, (H, W, C)."""
        return make_grid(np.concatenate(list(self._draw(_ROWS * _COLUMNS, point))), _COLUMNS)

    def read_grid(self) -> NDArray[np.uint8]:
        """Return real images side by side, (H, W, C)."""
        count = min(_ROWS * _COLUMNS, len(self._source))
        return make_grid(np.concatenate(list(self._read(count))), _COLUMNS)

    def _draw(self, count: int, point: SchedulePoint) -> Iterator[NDArray[np.uint8]]:
        network = self._average.config
        rng = torch.Generator().manual_seed(self._seed + 1)
        for start in range(0, count, _BATCH):
            indices = np.arange(start, min(start + _BATCH, count)) % len(self._source)
            latents = torch.randn(len(indices), network.latent_size, generator=rng).to(self._device)
            yield draw_fakes(
                self._average,
                latents,
                self._pick_labels(indices),
                level=point.level,
                alpha=point.alpha,
                to_level=network.levels,
            )

    def _read(self, count: int) -> Iterator[NDArray[np.uint8]]:
        network = self._average.config
        height, _ = network.resolution(network.levels)
        for start in range(0, count, _BATCH):
            indices = [index % len(self._source) for index in range(start, min(start + _BATCH, count))]
            yield self._source.read(indices, height)

    def _pick_labels(self, indices: NDArray[np.int64]) -> Tensor | None:
        if not self._average.config.labels or self._source.labels is None:
            return None
        return torch.from_numpy(self._source.labels[indices]).to(self._device)
