"""Time and memory of `pggan generate`, against the number of images and for a network at full size.

    python -m benchmarks.bench_generate

Weights are random: neither depends on what was learned. Every run is the command in a process of its own with one
thread, PNG encoding into a .zip included. Time is processor time less that of drawing a single image, so that neither
the start of Python nor other programs count; memory is the largest resident set.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from celebahq_tools.config import resolve_config
from pggan_core.architecture import NetworkConfig
from pggan_core.config import TrainConfig
from pggan_core.generator_file import TrainedGenerator, write_generator
from pggan_core.networks import Generator
from pggan_core.presets import find_preset

COMMAND = str(Path(sys.executable).with_name("pggan"))
REPEATS = 5


def write_network(folder: Path, preset: str, levels: int) -> Path:
    """Write a generator of a preset with random weights."""
    config = resolve_config(TrainConfig, preset=find_preset(preset).settings)
    network: NetworkConfig = config.network(levels=levels, base_height=4, base_width=4, channels=3, labels=0)
    torch.manual_seed(0)
    path = folder / f"{preset}.safetensors"
    write_generator(path, TrainedGenerator(Generator(network), levels, 1.0, 0, path))
    print(f"{preset}: {asdict(network)['levels']} levels, {path.stat().st_size / 1e6:.1f} MB", flush=True)
    return path


def run_once(network: Path, count: int, batch_size: int | None, out: Path) -> tuple[float, float]:
    """Return processor seconds and megabytes at most."""
    arguments = [COMMAND, "generate", str(network), "--num", str(count)]
    arguments += [] if batch_size is None else ["--batch-size", str(batch_size)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*arguments, "--out", str(out)], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for network, cases in (
            (write_network(folder, "tiny", 3), ((100, 64), (1000, 64), (1000, 1), (4000, 64))),
            (write_network(folder, "celebahq-1024", 8), ((4, None), (24, None))),
        ):
            repeats = REPEATS if network.stem == "tiny" else 1
            idle = statistics.median(run_once(network, 1, 1, folder / "out.zip")[0] for _ in range(repeats))
            for count, batch_size in cases:
                runs = [run_once(network, count, batch_size, folder / "out.zip") for _ in range(repeats)]
                seconds, memory = (statistics.median(column) for column in zip(*runs, strict=True))
                print(
                    f"{network.stem:<16} {count:>5} images, batch size {batch_size or 'default'}: "
                    f"{(count - 1) / (seconds - idle):8.2f} img per CPU-s, {memory:6.0f} MB (median of {repeats})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
