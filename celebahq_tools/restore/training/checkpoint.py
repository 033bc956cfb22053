"""Checkpoints of a run and the weight files it ends in: safetensors with a JSON header, written atomically."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from celebahq_tools import tensor_file
from celebahq_tools.errors import StoreError
from celebahq_tools.restore.training.step import Stepper
from celebahq_tools.tensor_file import damaged, pack_state, read_tensors, unpack_state, write_tensors

FORMAT = "celebahq-restore-checkpoint-1"


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on as if it had not stopped.

    Attributes:
        net: Name of the net's size.
        config: Settings as JSON, for the record.
        step: Steps done.
        tensors: Weights and moments by name.
    """

    net: str
    config: str
    step: int
    tensors: dict[str, Tensor]


def pack_stepper(stepper: Stepper) -> dict[str, Tensor]:
    """Return everything in a stepper that training changes, by stable names."""
    return pack_state(_list_modules(stepper), _list_optimizers(stepper))


def unpack_stepper(stepper: Stepper, tensors: Mapping[str, Tensor]) -> None:
    """Give a stepper back what :func:`pack_stepper` returned.

    Raises:
        StoreError: If the checkpoint is of another net.
    """
    try:
        unpack_state(tensors, _list_modules(stepper), _list_optimizers(stepper))
    except (RuntimeError, KeyError) as error:
        reason = (str(error).splitlines() or ["?"])[0]
        raise StoreError(f"the checkpoint is of another net ({reason}); choose another --run-dir") from None


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint that is whole or absent.

    Raises:
        StoreError: If the folder cannot be written or the disk is full.
    """
    header = {
        "format": FORMAT,
        "net": checkpoint.net,
        "config": checkpoint.config,
        "step": str(checkpoint.step),
    }
    write_tensors(path, checkpoint.tensors, header)


def read_run_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint.

    Raises:
        StoreError: If the file is damaged, or no checkpoint of this program.
    """
    header, tensors = read_tensors(path, kind=FORMAT, program="celebahq restore train")
    try:
        return Checkpoint(header["net"], header["config"], int(header["step"]), tensors)
    except (KeyError, ValueError) as error:
        raise damaged(path, error) from None


def read_newest(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """Return the newest readable checkpoint of a run; see :func:`celebahq_tools.tensor_file.read_newest`."""
    found = tensor_file.read_newest(folder, read_run_checkpoint, say)
    return None if found is None else found[1]


def export_weights(path: Path, net: nn.Module, *, name: str, about: Mapping[str, object]) -> None:
    """Write the weights of a net as float16, with its name and what is known of it in the header.

    Args:
        path: File to write.
        net: The averaged net.
        name: Its size, such as ``rednet-s``; a reader builds the net from that.
        about: Facts about the run, stored as JSON.
    """
    tensors = {key: value.detach().half() for key, value in net.state_dict().items()}
    write_tensors(path, tensors, {"net": name, "about": json.dumps(dict(about), sort_keys=True, default=str)})


def read_header(path: Path) -> dict[str, str]:
    """Return the header of a safetensors file, empty if it has none or is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def _list_modules(stepper: Stepper) -> dict[str, nn.Module]:
    modules: dict[str, nn.Module] = {"net/": stepper.net, "average/": stepper.average}
    if stepper.discriminator is not None:
        modules["discriminator/"] = stepper.discriminator
    return modules


def _list_optimizers(stepper: Stepper) -> dict[str, tuple[torch.optim.Optimizer, nn.Module]]:
    optimizers = {f"{name}/": (optimizer, stepper.net) for name, optimizer in stepper.optimizers.items()}
    if stepper.discriminator is not None and stepper.d_optimizer is not None:
        optimizers["d_adam/"] = (stepper.d_optimizer, stepper.discriminator)
    return optimizers
