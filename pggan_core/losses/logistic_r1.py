"""Non-saturating logistic loss (Goodfellow et al. 2014) with the R1 penalty (Mescheder et al. 2018)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pggan_core.losses.base import AdversarialLoss, Critic, square_gradient


class LogisticR1(AdversarialLoss):
    """softplus(D(fake)) + softplus(-D(real)) + gamma / 2 |grad D(real)|^2."""

    def generator(self, fake: Tensor) -> Tensor:
        """Return softplus(-D(fake))."""
        return F.softplus(-fake)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the logistic loss of both."""
        return F.softplus(fake) + F.softplus(-real)

    def penalty(
        self,
        critic: Critic,
        reals: Tensor,
        fakes: Tensor,  # noqa: ARG002 - R1 looks at the reals only
        *,
        mix: Tensor,  # noqa: ARG002
        gradient_scale: float = 1.0,
    ) -> Tensor:
        """Return the R1 penalty on the reals."""
        scale = self.config.penalty_weight / 2 * gradient_scale**2
        return square_gradient(critic, reals.detach().clone()) * scale
