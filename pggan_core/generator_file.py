"""Trained generators, from wherever they lie: a run folder, a checkpoint, or a file of `pggan export`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from celebahq_tools.atomic import write_atomically
from celebahq_tools.config import resolve_config
from celebahq_tools.errors import ConfigError, InputError, StoreError
from celebahq_tools.tensor_file import pick
from pggan_core.architecture import NetworkConfig
from pggan_core.checkpoint import Checkpoint, read_checkpoint, read_newest
from pggan_core.config import TrainConfig
from pggan_core.networks import Generator
from pggan_core.schedule import schedule_at

FORMAT = "pggan-generator-1"


@dataclass(frozen=True)
class TrainedGenerator:
    """The running average of a generator, ready to draw.

    Attributes:
        network: In evaluation mode, without gradients.
        level, alpha: Where its training stood: what it can draw.
        images_shown: Real images it was trained on; 0 if unknown.
        path: The file it was read from.
        config: Settings of its run, or None if the file holds none.
    """

    network: Generator
    level: int
    alpha: float
    images_shown: int
    path: Path
    config: TrainConfig | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what it draws."""
        return (self.network.config.channels, *self.network.config.resolution(self.level))


def open_generator(path: Path, *, say: Callable[[str], None] = lambda _: None) -> TrainedGenerator:
    """Return the generator of a run, a checkpoint, or an exported file.

    Args:
        path: A run folder (its newest readable checkpoint), a checkpoint, or a file of ``pggan export``.
        say: Told about damaged checkpoints that were passed over.
    Raises:
        InputError: If there is nothing of the kind.
        StoreError: If the file is damaged.
    """
    if path.is_dir():
        found = read_newest(path / "checkpoints", say) or read_newest(path, say)
        if found is None:
            raise InputError(f"{path}: holds no checkpoints; name a run folder of `pggan train`, or one of its files")
        return from_checkpoint(found[1], found[0])
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; name a run folder, a checkpoint, or an exported generator")
    header = _read_header(path)
    return (
        _read_exported(path, header) if header.get("format") == FORMAT else from_checkpoint(read_checkpoint(path), path)
    )


def from_checkpoint(checkpoint: Checkpoint, path: Path) -> TrainedGenerator:
    """Return the running average of the generator that a checkpoint holds.

    Raises:
        StoreError: If the checkpoint lacks something.
    """
    try:
        config = resolve_config(TrainConfig, preset=json.loads(checkpoint.config))
        shown = int(checkpoint.progress["images_shown"])
        network = Generator(checkpoint.network)
        network.load_state_dict(pick(checkpoint.tensors, "average/"))
    except (KeyError, RuntimeError, TypeError, ValueError, ConfigError) as error:
        raise StoreError(f"{path}: damaged checkpoint ({error}); use an older one") from None
    # The images of the last step: at the very start of a phase the new layers have not been trained.
    point = schedule_at(config.schedule(checkpoint.network.levels), max(shown - 1, 0))
    return TrainedGenerator(network.eval().requires_grad_(False), point.level, point.alpha, shown, path, config)


def choose_level(trained: TrainedGenerator, resolution: int) -> TrainedGenerator:
    """Return the generator at another of its resolutions, without a fade.

    Its own resolution is the one that was trained last. RGB layers of smaller ones stopped learning when they were
    superseded, while the layers they read went on.

    Args:
        trained: A generator.
        resolution: Shorter side in pixels.
    Raises:
        ConfigError: If it has no such resolution, or has not been trained up to it.
    """
    config = trained.network.config
    sides = {min(config.resolution(level)): level for level in range(trained.level + 1)}
    if resolution not in sides:
        raise ConfigError(f"resolution {resolution}: this generator has {', '.join(map(str, sides))}")
    level = sides[resolution]
    return replace(trained, level=level, alpha=trained.alpha if level == trained.level else 1.0)


def write_generator(path: Path, trained: TrainedGenerator) -> None:
    """Write the generator alone: its weights, with what is needed to draw in the header. Whole or absent.

    Raises:
        StoreError: If the folder cannot be written or the disk is full.
    """
    header = {
        "format": FORMAT,
        "network": json.dumps(asdict(trained.network.config)),
        "drawing": json.dumps({"level": trained.level, "alpha": trained.alpha, "images_shown": trained.images_shown}),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in trained.network.state_dict().items()}
    try:
        with write_atomically(path) as temporary:
            save_file(tensors, temporary, metadata=header)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: cannot write the generator ({error}); free space or choose another folder") from None


def _read_header(path: Path) -> Mapping[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            header: Mapping[str, str] = file.metadata() or {}
            return header
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{path}: neither a checkpoint nor an exported generator ({error})") from None


def _read_exported(path: Path, header: Mapping[str, str]) -> TrainedGenerator:
    try:
        network = Generator(NetworkConfig(**json.loads(header["network"])))
        drawing: dict[str, Any] = json.loads(header["drawing"])
        with safe_open(path, framework="pt") as file:
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - no mapping
        level, alpha, shown = int(drawing["level"]), float(drawing["alpha"]), int(drawing["images_shown"])
    except (SafetensorError, OSError, KeyError, RuntimeError, TypeError, ValueError, ConfigError) as error:
        raise StoreError(f"{path}: damaged generator ({error}); export it again") from None
    if not (0 <= level <= network.config.levels and 0 <= alpha <= 1):
        raise StoreError(f"{path}: damaged generator (level {level}, alpha {alpha}); export it again")
    return TrainedGenerator(network.eval().requires_grad_(False), level, alpha, shown, path)
