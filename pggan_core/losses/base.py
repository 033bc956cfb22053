"""What every adversarial loss offers the trainer, and what it gets from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pggan_core.losses import LossConfig

# Images to per-sample scores (N,), at the level, alpha and noise of the current step.
Critic = Callable[[Tensor], Tensor]


class AdversarialLoss(ABC):
    """Base of the losses; all terms are per sample, the trainer takes their mean.

    Args:
        config: Weights of the terms.
    """

    def __init__(self, config: LossConfig) -> None:
        self.config = config

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """Return the generator's loss (N,) from the scores of its images (N,)."""

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss (N,) from scores of reals and fakes, both (N,)."""

    def penalty(
        self,
        critic: Critic,  # noqa: ARG002 - an interface; most losses have no penalty
        reals: Tensor,  # noqa: ARG002
        fakes: Tensor,  # noqa: ARG002
        *,
        mix: Tensor,  # noqa: ARG002
        gradient_scale: float = 1.0,  # noqa: ARG002
    ) -> Tensor | None:
        """Return a penalty (N,) that needs scores of other images, or None where the loss has none.

        Args:
            critic: Scores images.
            reals, fakes: (N, C, H, W), without gradients.
            mix: Uniform [0, 1) draws (N,), one per sample.
            gradient_scale: Factor on image gradients; the TensorFlow program measures them on the full-resolution
                image, which divides the norm by 2 per level still to come.
        """
        return None

    @property
    def noise_strength(self) -> float:
        """Strength of the multiplicative noise in the discriminator; 0 for none."""
        return 0.0

    def observe(self, real: Tensor, fake: Tensor) -> None:  # noqa: B027 - most losses have nothing to adapt
        """Look at one step's scores, for losses that adapt."""

    def state(self) -> dict[str, float]:
        """Return what has to survive a resume."""
        return {}

    def load_state(self, state: Mapping[str, float]) -> None:  # noqa: B027 - nor anything to remember
        """Take back what :meth:`state` returned."""


def square_gradient(critic: Critic, images: Tensor) -> Tensor:
    """Return the squared norm (N,) of the gradient of each score by its image, itself differentiable.

    Args:
        critic: Scores images.
        images: (N, C, H, W) without gradients.
    """
    images = images.requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))
