"""Checkpoints of a run and the weight files it ends in: safetensors with a JSON header, written atomically."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import StoreError
from celebahq_tools.restore.training.step import Stepper

FORMAT = "celebahq-restore-checkpoint-1"
PATTERN = "checkpoint-*.safetensors"


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
    tensors = {
        f"{prefix}{name}": value.detach()
        for prefix, module in _list_modules(stepper).items()
        for name, value in module.state_dict().items()
    }
    for prefix, (optimizer, module) in _list_optimizers(stepper).items():
        for name, parameter in module.named_parameters():
            for kind, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{prefix}{name}/{kind}"] = value
    return tensors


def unpack_stepper(stepper: Stepper, tensors: Mapping[str, Tensor]) -> None:
    """Give a stepper back what :func:`pack_stepper` returned.

    Raises:
        StoreError: If the checkpoint is of another net.
    """
    try:
        for prefix, module in _list_modules(stepper).items():
            module.load_state_dict(_pick(tensors, prefix))
        for prefix, (optimizer, module) in _list_optimizers(stepper).items():
            optimizer.state.clear()
            parameters = dict(module.named_parameters())
            for key, value in _pick(tensors, prefix).items():
                name, _, kind = key.rpartition("/")
                parameter = parameters[name]
                moment = value.to(parameter.device).clone()
                if moment.dim() == parameter.dim():
                    # The memory layout decides the order of sums, and with it the last bit.
                    moment = torch.empty_like(parameter).copy_(moment)
                optimizer.state[parameter][kind] = moment
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
    _write(path, checkpoint.tensors, header)


def read_run_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint.

    Raises:
        StoreError: If the file is damaged, or no checkpoint of this program.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header: Mapping[str, str] = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise StoreError(f"{path}: not a checkpoint of `celebahq restore train` ({FORMAT})")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return Checkpoint(header["net"], header["config"], int(header["step"]), tensors)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise StoreError(f"{path}: damaged checkpoint ({error}); resume from an older one") from None


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    return sorted(folder.glob(PATTERN))


def read_newest(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """Return the newest readable checkpoint of a run, or None if there are none at all.

    Args:
        folder: The run's folder.
        say: Told about damaged ones that were passed over.
    Raises:
        StoreError: If all of them are damaged.
    """
    damaged: StoreError | None = None
    for path in reversed(list_checkpoints(folder)):
        try:
            return read_run_checkpoint(path)
        except StoreError as error:
            damaged = error
            say(f"{error}; trying the one before")
    if damaged is not None:
        raise damaged
    return None


def export_weights(path: Path, net: nn.Module, *, name: str, about: Mapping[str, object]) -> None:
    """Write the weights of a net as float16, with its name and what is known of it in the header.

    Args:
        path: File to write.
        net: The averaged net.
        name: Its size, such as ``rednet-s``; a reader builds the net from that.
        about: Facts about the run, stored as JSON.
    """
    tensors = {key: value.detach().half() for key, value in net.state_dict().items()}
    _write(path, tensors, {"net": name, "about": json.dumps(dict(about), sort_keys=True, default=str)})


def read_header(path: Path) -> dict[str, str]:
    """Return the header of a safetensors file, empty if it has none or is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def _write(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> None:
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with write_atomically(path) as temporary:
            save_file(ready, temporary, metadata=header)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: cannot write ({error}); free space or choose another folder") from None


def _pick(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


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
