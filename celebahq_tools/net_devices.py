"""Which processes run the nets of a build: one per GPU where there are any, else none, and the workers do it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from celebahq_tools.build_config import BuildConfig
from celebahq_tools.errors import ConfigError
from celebahq_tools.restore import NETLESS, Kind
from celebahq_tools.restore.net_service import NetService

# At which stacks of tiles fill a GPU: 256 x 256 pixels are 512 blocks of 128 sums for each convolution, several for
# every multiprocessor. More at once gains nothing, and where fewer wait, making a stack full costs no time. By
# arithmetic: no GPU was at hand to measure it on. A CPU gains nothing by stacks.
GPU_PIXELS = 256 * 256


def choose_gpus(asked: str, found: int) -> list[int]:
    """Return the numbers of the GPUs to use.

    Args:
        asked: Empty for all, a number of GPUs, or a list of their numbers, such as ``0,2`` or ``2,``.
        found: GPUs that there are.
    Raises:
        ConfigError: If it is neither, or asks for GPUs that are not there.
    """
    if not asked:
        return list(range(found))
    if not re.fullmatch(r"\d+(,\d+)*,?", asked):
        raise ConfigError(f"--gpus {asked}: expected how many, such as 4, or which, such as 0,2")
    listed = [int(number) for number in asked.split(",") if number]
    gpus = listed if "," in asked else list(range(listed[0]))
    if not gpus:
        raise ConfigError("--gpus 0: to run the nets on the CPU, pass --device cpu")
    if len(set(gpus)) < len(gpus):
        raise ConfigError(f"--gpus {asked}: names a GPU twice; one process uses all of it")
    if max(gpus) >= found:
        there = f"0 to {found - 1}" if found else "none"
        raise ConfigError(
            f"--gpus {asked}: torch sees {found} GPUs here ({there}); "
            "ask for those, or install a CUDA build of torch and its driver"
        )
    return gpus


def choose_devices(config: BuildConfig) -> list[str]:
    """Return the devices that get a process for the nets of a build; none if the workers run them.

    Raises:
        ConfigError: If GPUs were asked for that are not there.
    """
    if config.net_processes:
        if config.device == "cuda":
            raise ConfigError("--net-processes: for CPUs only; GPUs get one process each without it")
        return ["cpu"] * config.net_processes if _list_nets(config) else []
    if config.backend != "loky" or config.device == "cpu" or not (_list_nets(config) or config.gpus):
        return []
    import torch

    from celebahq_tools.restore.network import resolve_device

    if config.device == "cuda":
        resolve_device("cuda")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = choose_gpus(config.gpus, found)
    return [f"cuda:{number}" for number in gpus] if _list_nets(config) else []


@contextmanager
def serve_build(config: BuildConfig) -> Iterator[NetService | None]:
    """Run the processes for a build's nets until the `with` block ends; None if the workers run the nets.

    Raises:
        CelebahqError: If such a process cannot start.
    """
    devices = choose_devices(config)
    if not devices:
        yield None
        return
    from celebahq_tools.restore.net_crew import serve_nets

    with serve_nets(devices, _list_nets(config), pixels=0 if config.net_processes else GPU_PIXELS) as nets:
        yield nets


def _list_nets(config: BuildConfig) -> dict[Kind, str]:
    """Return the restorers that are nets, by kind."""
    named: dict[Kind, str] = {"dejpeg": config.dejpeg, "sr": config.sr}
    return {kind: name for kind, name in named.items() if name not in NETLESS}
