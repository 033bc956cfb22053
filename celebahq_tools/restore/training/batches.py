"""Batches of examples, each a function of the seed and the step alone, so that a resumed run draws the same ones."""

from __future__ import annotations

import numpy as np
import torch

from celebahq_tools.restore.base import Restorer
from celebahq_tools.restore.training.config import RestoreTrainConfig
from celebahq_tools.restore.training.degradations import (
    Pair,
    QualityOdds,
    damage_for_dejpeg,
    damage_for_sr,
    source_side,
    vary_piece,
)
from celebahq_tools.restore.training.photographs import PatchSampler
from celebahq_tools.types import Pixels


class BatchMaker:
    """Makes the batch of a step.

    Args:
        config: Sizes, odds and seed.
        sampler: Clean pieces.
        dejpeg: What half of the small images pass through before super-resolution, or None.
    """

    def __init__(self, config: RestoreTrainConfig, sampler: PatchSampler, dejpeg: Restorer | None = None) -> None:
        self.config = config
        self.sampler = sampler
        self.dejpeg = dejpeg

    def make(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the examples of a step.

        Returns:
            What the net sees, float32 in [0, 1], (N, 3, patch, patch), and the truth, (N, 3, patch * scale, ...); both
            channels last.
        """
        rng = np.random.default_rng((self.config.seed, step))
        pairs = [self._make_pair(rng) for _ in range(self.config.batch)]
        return to_batch([pair.damaged for pair in pairs]), to_batch([pair.truth for pair in pairs])

    def _make_pair(self, rng: np.random.Generator) -> Pair:
        config = self.config
        piece = vary_piece(rng, self.sampler.draw(rng, source_side(config.patch, config.scale)), config.vary)
        if config.task == "dejpeg":
            return damage_for_dejpeg(rng, piece, config.patch, QualityOdds(config.strong_odds, config.middle_odds))
        pair = damage_for_sr(rng, piece, config.patch, config.scale, config.jpeg_odds)
        if self.dejpeg is not None and rng.random() < 0.5:
            pair = Pair(self.dejpeg.restore(np.ascontiguousarray(pair.damaged)), pair.truth)
        return pair


def to_batch(images: list[Pixels]) -> torch.Tensor:
    """Return images of one size as float32 in [0, 1], (N, 3, H, W), channels last."""
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return batch.float().div_(255).contiguous(memory_format=torch.channels_last)
