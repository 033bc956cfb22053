"""Adversarial losses: one file and one registry line each; the trainer knows only ``base.AdversarialLoss``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celebahq_tools.registry import Registry

if TYPE_CHECKING:
    from pggan_core.losses.base import AdversarialLoss

LOSSES: Registry[type[AdversarialLoss]] = Registry(
    "loss",
    {
        "wgan-gp": "pggan_core.losses.wgan_gp:WganGp",
        "lsgan": "pggan_core.losses.lsgan:Lsgan",
        "hinge": "pggan_core.losses.hinge:Hinge",
        "logistic-r1": "pggan_core.losses.logistic_r1:LogisticR1",
    },
)


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms.

    Attributes:
        penalty_weight: Weight of the gradient penalty (WGAN-GP 10; R1 gamma).
        penalty_target: Gradient norm the WGAN-GP penalty asks for: 1, or 750 on CIFAR-10.
        drift: Weight of D(real)^2.
    """

    penalty_weight: float = 10.0
    penalty_target: float = 1.0
    drift: float = 0.001
