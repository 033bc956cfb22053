"""Losses of the restoration nets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

_EPSILON = 1e-3
_LEVEL = 1 / 255


def measure_distance(restored: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the Charbonnier distance: the absolute difference, rounded off below a quarter of a grey level."""
    return torch.sqrt((restored - truth).square() + _EPSILON**2).mean() - _EPSILON


def measure_tempered_distance(
    restored: torch.Tensor, truth: torch.Tensor, damaged: torch.Tensor, power: float = 0.5
) -> torch.Tensor:
    """Return the mean over examples of the distance to the truth, each divided by a power of the damage there was.

    With the plain distance, power 0, the strongest damage drowns the rest. Power 1 counts a tenth less error the same
    everywhere, as decibels do; a net that knows nothing yet learns from nearly clean examples to do nothing then.

    Args:
        restored, truth, damaged: RGB in [0, 1], (N, 3, H, W).
        power: 0 to 1.
    """
    left, before = (
        torch.sqrt((image - truth).square() + _EPSILON**2).mean(dim=(1, 2, 3)) for image in (restored, damaged)
    )
    return (left / (before + _LEVEL) ** power).mean()


def measure_log_error(restored: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the mean over examples of the logarithm of the squared error: PSNR with the sign turned, in nepers.

    A tenth less error counts the same for every example, and within one the large errors, which PSNR is made of, count
    more than under a distance (Chen et al., HINet, CVPR Workshops 2021, arXiv:2105.06086). Errors far below half a grey
    level no longer matter.

    Args:
        restored, truth: RGB in [0, 1], (N, 3, H, W).
    """
    error = (restored - truth).square().mean(dim=(1, 2, 3))
    return torch.log(error + (0.5 * _LEVEL) ** 2).mean()


def discriminator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Return the relativistic average loss of a discriminator (Jolicoeur-Martineau, ICLR 2019, arXiv:1807.00734).

    Args:
        real, fake: Scores of truths and of outputs, any shape.
    """
    return 0.5 * (F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean())


def generator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Return the loss of the net against that discriminator: the same with the roles exchanged."""
    return 0.5 * (F.softplus(real.mean() - fake).mean() + F.softplus(real - fake.mean()).mean())


def matching_loss(real: Sequence[torch.Tensor], fake: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the mean distance between features (Wang et al., pix2pixHD, CVPR 2018), each scaled by its own size."""
    terms = [(f - r.detach()).abs().mean() / (r.detach().abs().mean() + 1e-6) for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()
