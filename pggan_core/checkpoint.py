"""Checkpoints: one safetensors file with a JSON header, written atomically; no pickle."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import StoreError
from pggan_core.architecture import NetworkConfig
from pggan_core.networks import Generator

FORMAT = "pggan-checkpoint-1"
PATTERN = "checkpoint-*.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on as if it had not stopped.

    Attributes:
        network: Shape of the networks.
        config: ``TrainConfig`` as JSON, for the record and for comparison.
        progress: Counters, positions and the loss's state.
        tensors: Weights, moments and random number states by name.
    """

    network: NetworkConfig
    config: str
    progress: dict[str, Any]
    tensors: dict[str, Tensor]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint that is whole or absent.

    Raises:
        StoreError: If the folder cannot be written or the disk is full.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    header = {
        "format": FORMAT,
        "network": json.dumps(asdict(checkpoint.network)),
        "config": checkpoint.config,
        "progress": json.dumps(checkpoint.progress),
        "checksum": str(_checksum(tensors)),
    }
    try:
        with write_atomically(path) as temporary:
            save_file(tensors, temporary, metadata=header)
    except (OSError, SafetensorError) as error:
        raise StoreError(
            f"{path}: cannot write the checkpoint ({error}); free space or choose another folder"
        ) from None


def read_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint.

    Raises:
        StoreError: If the file is missing, damaged, or no checkpoint of this program.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header: Mapping[str, str] = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise StoreError(f"{path}: not a checkpoint of `pggan train` ({FORMAT})")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        network = NetworkConfig(**json.loads(header["network"]))
        progress = json.loads(header["progress"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: damaged checkpoint ({error}); resume from an older one") from None
    if str(_checksum(tensors)) != header.get("checksum"):
        raise StoreError(f"{path}: damaged checkpoint (checksum differs); resume from an older one")
    return Checkpoint(network, header.get("config", "{}"), progress, tensors)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    return sorted(folder.glob(PATTERN))


def read_newest(folder: Path, say: Callable[[str], None]) -> tuple[Path, Checkpoint] | None:
    """Return the newest readable checkpoint of a run, or None if there are none at all.

    Args:
        folder: The run's checkpoints.
        say: Told about damaged ones that were passed over.
    Raises:
        StoreError: If all of them are damaged.
    """
    damaged: StoreError | None = None
    for path in reversed(list_checkpoints(folder)):
        try:
            return path, read_checkpoint(path)
        except StoreError as error:
            damaged = error
            say(f"{error}; trying the one before")
    if damaged is not None:
        raise damaged
    return None


def name_checkpoint(images_shown: int) -> str:
    """Return the file name at a number of images; names sort by age."""
    return f"checkpoint-{images_shown:011d}.safetensors"


def load_generator(path: Path) -> Generator:
    """Return the running average of the generator stored in a checkpoint, ready to draw.

    Raises:
        StoreError: If the checkpoint cannot be read.
    """
    checkpoint = read_checkpoint(path)
    generator = Generator(checkpoint.network)
    generator.load_state_dict(pick(checkpoint.tensors, "average/"))
    return generator.eval().requires_grad_(False)


def pick(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        total = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, total)
    return total
