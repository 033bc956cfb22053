"""Hinge loss (Lim and Ye 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pggan_core.losses.base import AdversarialLoss


class Hinge(AdversarialLoss):
    """max(0, 1 - D(real)) + max(0, 1 + D(fake)); the generator maximises D(fake)."""

    def generator(self, fake: Tensor) -> Tensor:
        """Return -D(fake)."""
        return -fake

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the two hinges."""
        return F.relu(1 - real) + F.relu(1 + fake)
