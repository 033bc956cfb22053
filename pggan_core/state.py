"""The tensors of a training step under stable names: weights, Adam's moments, the random number generator."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pggan_core.checkpoint import pick
from pggan_core.step import Stepper


def pack_stepper(stepper: Stepper) -> dict[str, Tensor]:
    """Return everything in a stepper that training changes."""
    tensors = {
        f"{prefix}{name}": value
        for prefix, module in _list_modules(stepper).items()
        for name, value in module.state_dict().items()
    }
    for prefix, (optimizer, network) in _list_optimizers(stepper).items():
        for name, parameter in network.named_parameters():
            for kind, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{prefix}{name}/{kind}"] = value
    tensors["rng"] = stepper.rng.get_state()
    return tensors


def unpack_stepper(stepper: Stepper, tensors: Mapping[str, Tensor]) -> None:
    """Give a stepper back what :func:`pack_stepper` returned.

    Raises:
        KeyError: If something is missing.
        RuntimeError: If something has another shape.
    """
    for prefix, module in _list_modules(stepper).items():
        module.load_state_dict(pick(tensors, prefix))
    for prefix, (optimizer, network) in _list_optimizers(stepper).items():
        optimizer.state.clear()
        parameters = dict(network.named_parameters())
        for key, value in pick(tensors, prefix).items():
            name, _, kind = key.rpartition("/")
            parameter = parameters[name]
            optimizer.state[parameter][kind] = value.to(parameter.device).clone()
    stepper.rng.set_state(tensors["rng"])


def _list_modules(stepper: Stepper) -> dict[str, nn.Module]:
    return {"generator/": stepper.generator, "discriminator/": stepper.discriminator, "average/": stepper.average}


def _list_optimizers(stepper: Stepper) -> dict[str, tuple[torch.optim.Adam, nn.Module]]:
    return {
        "g_adam/": (stepper.g_optimizer, stepper.generator),
        "d_adam/": (stepper.d_optimizer, stepper.discriminator),
    }
