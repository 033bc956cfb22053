"""Wasserstein loss with gradient penalty and drift term (Gulrajani et al. 2017; Karras et al. 2018, appendix A)."""

from __future__ import annotations

import torch
from torch import Tensor

from pggan_core.losses.base import AdversarialLoss, Critic, square_gradient


class WganGp(AdversarialLoss):
    """D(fake) - D(real) + w (|grad D(x)| - target)^2 / target^2 + drift D(real)^2, x between real and fake."""

    def generator(self, fake: Tensor) -> Tensor:
        """Return -D(fake)."""
        return -fake

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return D(fake) - D(real) and the drift term."""
        return fake - real + self.config.drift * real.square()

    def penalty(
        self, critic: Critic, reals: Tensor, fakes: Tensor, *, mix: Tensor, gradient_scale: float = 1.0
    ) -> Tensor:
        """Return the penalty on gradient norms at one random point between each real and fake."""
        between = torch.lerp(reals, fakes, mix.view(-1, 1, 1, 1))
        norm = square_gradient(critic, between).sqrt() * gradient_scale
        target = self.config.penalty_target
        return (norm - target).square() * (self.config.penalty_weight / target**2)
