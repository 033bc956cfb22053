"""Checkpoints: one safetensors file with a JSON header, written atomically; no pickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from celebahq_tools import tensor_file
from celebahq_tools.tensor_file import damaged, pick, read_tensors, write_tensors
from pggan_core.architecture import NetworkConfig
from pggan_core.networks import Generator

FORMAT = "pggan-checkpoint-1"


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
    header = {
        "format": FORMAT,
        "network": json.dumps(asdict(checkpoint.network)),
        "config": checkpoint.config,
        "progress": json.dumps(checkpoint.progress),
    }
    write_tensors(path, checkpoint.tensors, header)


def read_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint.

    Raises:
        StoreError: If the file is missing, damaged, or no checkpoint of this program.
    """
    header, tensors = read_tensors(path, kind=FORMAT, program="pggan train")
    try:
        network = NetworkConfig(**json.loads(header["network"]))
        progress = json.loads(header["progress"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from None
    return Checkpoint(network, header.get("config", "{}"), progress, tensors)


def read_settings(path: Path) -> dict[str, object]:
    """Return the settings of the run that a checkpoint is of, as in its ``config.json``.

    Raises:
        StoreError: If the file is missing, damaged, or no checkpoint of this program.
    """
    header = tensor_file.read_header(path, kind=FORMAT, program="pggan train")
    try:
        return dict(json.loads(header["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from None


def read_checksum(path: Path) -> str:
    """Return the checksum of a checkpoint's tensors as its header has it; :func:`read_checkpoint` compares the two.

    Raises:
        StoreError: If the file is missing, damaged, or no checkpoint of this program.
    """
    return tensor_file.read_header(path, kind=FORMAT, program="pggan train").get("checksum", "")


def read_newest(folder: Path, say: Callable[[str], None]) -> tuple[Path, Checkpoint] | None:
    """Return the newest readable checkpoint of a run; see :func:`celebahq_tools.tensor_file.read_newest`."""
    return tensor_file.read_newest(folder, read_checkpoint, say)


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
