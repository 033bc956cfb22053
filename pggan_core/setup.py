"""Checks before a run: does the dataset fit the configuration, and which networks and device follow from both."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from celebahq_tools.errors import ConfigError, InputError, StoreError
from pggan_core.architecture import NetworkConfig, choose_grid, count_maps
from pggan_core.config import TrainConfig
from pggan_core.data import LevelSource
from pggan_core.distributed import SOLO, Ranks
from pggan_core.networks import Discriminator, Generator
from pggan_core.schedule import ScheduleConfig, parse_exceptions


def derive_network(config: TrainConfig, source: LevelSource) -> NetworkConfig:
    """Return the networks for a dataset.

    Raises:
        ConfigError: If the dataset is smaller than the resolution asked for, or has no labels where some are needed.
        InputError: If the images have an unusable channel count, or are too few for a minibatch.
        ShapeError: If the image sides are not a base grid times a power of two.
    """
    channels, height, width = source.shape
    if channels not in (1, 3):
        raise InputError(f"{config.data}: images have {channels} channels; 1 (grey) or 3 (RGB) are supported")
    base_height, base_width, levels = choose_grid(height, width)
    if config.resolution:
        base = min(base_height, base_width)
        wanted = (config.resolution // base).bit_length() - 1 if config.resolution >= base else -1
        if wanted < 0 or base << wanted != config.resolution:
            sizes = ", ".join(str(base << level) for level in range(levels + 1))
            raise ConfigError(f"resolution {config.resolution}: not one of this dataset's: {sizes}")
        if wanted > levels:
            raise ConfigError(
                f"{config.data}: images are {width}x{height}, smaller than the resolution {config.resolution} "
                f"asked for; pass --resolution {min(height, width)} or a larger dataset"
            )
        levels = wanted
    exceptions = parse_exceptions(config.batch_at, "batch_at")
    largest = max(int(exceptions.get(4 << level, config.batch)) for level in range(levels + 1))
    if len(source) < largest:
        raise InputError(
            f"{config.data}: holds {len(source)} images, fewer than a minibatch of {largest}; "
            "add images or lower --batch"
        )
    labels = 0
    if config.conditional:
        if source.labels is None:
            raise ConfigError(f"{config.data}: conditional training needs labels (<name>-labels.npy or dataset.json)")
        labels = source.labels.shape[1]
    return config.network(
        levels=levels, base_height=base_height, base_width=base_width, channels=channels, labels=labels
    )


def describe_networks(network: NetworkConfig) -> str:
    """Return a line per level with its resolution and feature maps, and the parameters of both networks."""
    lines = []
    for level in range(network.levels + 1):
        height, width = network.resolution(level)
        maps = f"G {count_maps(network, level):>3}  D {count_maps(network, level, discriminator=True):>3} maps"
        lines.append(f"  level {level}  {width:>4}x{height:<4}  {maps}")
    with torch.device("meta"):  # Counts without allocating.
        sizes = [sum(p.numel() for p in kind(network).parameters()) for kind in (Generator, Discriminator)]
    return "\n".join([*lines, f"  parameters with all RGB layers: G {sizes[0]:,}, D {sizes[1]:,}"])


def compare_networks(stored: NetworkConfig, ours: NetworkConfig, where: Path) -> None:
    """Check that a checkpoint holds the networks this run trains.

    Raises:
        StoreError: If it does not; the message names every difference.
    """
    mine = asdict(ours)
    different = [
        f"{name} {value} (this run: {mine[name]})" for name, value in asdict(stored).items() if value != mine[name]
    ]
    if different:
        raise StoreError(
            f"{where}: checkpoint of another architecture: {', '.join(different)}; "
            "resume with the settings in its run folder's config.json"
        )


def choose_device(name: str, ranks: Ranks = SOLO) -> torch.device:
    """Return the device of that name; ``auto`` takes CUDA where there is one.

    Several processes of one machine take a GPU each.

    Raises:
        ConfigError: If the device does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and ranks.count > 1:
        if ranks.local_rank >= torch.cuda.device_count():
            raise ConfigError(
                f"process {ranks.local_rank} of this machine has no GPU of its own: there are "
                f"{torch.cuda.device_count()}; start as many processes as GPUs (torchrun --nproc-per-node)"
            )
        name = f"cuda:{ranks.local_rank}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); try cpu") from None
    return device


def check_shares(ranks: Ranks, schedule: ScheduleConfig) -> None:
    """Check that every process gets at least one image of every minibatch.

    Raises:
        ConfigError: If it does not; the message names the resolution.
    """
    exceptions = parse_exceptions(schedule.batch_at, "batch_at")
    for level in range(schedule.levels if not schedule.grow else 0, schedule.levels + 1):
        batch = int(exceptions.get(4 << level, schedule.batch))
        if batch < ranks.count:
            raise ConfigError(
                f"the minibatch of {batch} at {4 << level}x{4 << level} cannot be split over {ranks.count} processes: "
                f"start at most {batch}, or raise batch and batch_at (the presets tf-v2-2gpu to tf-v2-8gpu do)"
            )


def compare_sources(ranks: Ranks, source: LevelSource) -> None:
    """Check that the processes of all machines read the same kind of dataset.

    Raises:
        ConfigError: If they do not.
    """
    channels, height, width = source.shape
    labels = "labels" if source.labels is not None else "no labels"
    mine = f"{len(source)} images of {width}x{height} with {channels} channels and {labels}"
    for rank, theirs in enumerate(ranks.exchange(mine)):
        if theirs != mine:
            raise ConfigError(
                f"the dataset holds {mine} here, but {theirs} for rank {rank}; every machine needs the same one"
            )


def prepare_run_folder(folder: Path) -> None:
    """Create the run folder with its parts.

    Raises:
        InputError: If it cannot be written.
    """
    try:
        for part in (folder, folder / "checkpoints", folder / "samples"):
            part.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"{folder}: cannot write the run folder ({error.strerror}); choose another --run-dir"
        ) from None
