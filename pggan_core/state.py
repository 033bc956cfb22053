"""The tensors of a training step under stable names: weights, Adam's moments, the random number generator."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from celebahq_tools.tensor_file import pack_state, unpack_state
from pggan_core.step import Stepper


def pack_stepper(stepper: Stepper) -> dict[str, Tensor]:
    """Return everything in a stepper that training changes."""
    tensors = pack_state(_list_modules(stepper), _list_optimizers(stepper))
    tensors["rng"] = stepper.rng.get_state()
    return tensors


def unpack_stepper(stepper: Stepper, tensors: Mapping[str, Tensor]) -> None:
    """Give a stepper back what :func:`pack_stepper` returned.

    Raises:
        KeyError: If something is missing.
        RuntimeError: If something has another shape.
    """
    unpack_state(tensors, _list_modules(stepper), _list_optimizers(stepper))
    stepper.rng.set_state(tensors["rng"])


def _list_modules(stepper: Stepper) -> dict[str, nn.Module]:
    return {"generator/": stepper.generator, "discriminator/": stepper.discriminator, "average/": stepper.average}


def _list_optimizers(stepper: Stepper) -> dict[str, tuple[torch.optim.Optimizer, nn.Module]]:
    return {
        "g_adam/": (stepper.g_optimizer, stepper.generator),
        "d_adam/": (stepper.d_optimizer, stepper.discriminator),
    }
