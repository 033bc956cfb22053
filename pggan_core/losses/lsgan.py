"""Least-squares loss with the adaptive noise of appendix B."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pggan_core.losses import LossConfig
from pggan_core.losses.base import AdversarialLoss


class Lsgan(AdversarialLoss):
    """The discriminator drives reals to 0 and fakes to 1, as in the Theano program, and the generator fakes to 0.

    Its inputs to convolutions are multiplied by noise of strength 0.2 max(0, d - 0.5)^2, where d follows the
    discriminator's output on fakes, clipped to [0, 1], with a decay of 0.9.
    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config)
        self._output = 0.0

    def generator(self, fake: Tensor) -> Tensor:
        """Return D(fake)^2."""
        return fake.square()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return D(real)^2 + (D(fake) - 1)^2."""
        return real.square() + (fake - 1).square()

    @property
    def noise_strength(self) -> float:
        """0.2 max(0, d - 0.5)^2."""
        return 0.2 * max(self._output - 0.5, 0.0) ** 2

    def observe(self, real: Tensor, fake: Tensor) -> None:  # noqa: ARG002
        """Follow the discriminator's output: it succeeds when fakes score 1, and then d approaches 1."""
        self._output = 0.9 * self._output + 0.1 * min(max(float(fake.detach().mean()), 0.0), 1.0)

    def state(self) -> dict[str, float]:
        """Return the running output."""
        return {"output": self._output}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Take back the running output."""
        self._output = float(state["output"])
