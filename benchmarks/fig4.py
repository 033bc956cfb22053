"""Fig. 4(c): images per second at every resolution, and the time of 6.4 million images with and without growing.

    python -m benchmarks.fig4 measure fig4.json
    python -m benchmarks.fig4 report fig4.json
    python -m benchmarks.fig4 count

Networks and step are those of the preset celebahq-1024, full width. Up to 128x128 the CPU time of a step is measured,
on one thread; above, it follows from a fit to what was measured: a * multiplications + b * activations. From 64x64 on
every doubling adds as many multiplications as the one before, and twice the activations. Times on a GPU differ; their
ratios differ less. ``count`` measures nothing: it gives the ratio if time goes with multiplications alone, and if it
goes with activations alone; every mixture of the two lies between.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from celebahq_tools.atomic import write_text_atomically
from celebahq_tools.config import resolve_config
from pggan_core import convolution
from pggan_core.architecture import NetworkConfig, count_maps
from pggan_core.config import TrainConfig
from pggan_core.networks import Discriminator, Generator
from pggan_core.presets import find_preset
from pggan_core.schedule import ScheduleConfig, SchedulePoint, schedule_at
from pggan_core.step import Stepper

LEVELS = 8
IMAGES = 6_400_000
PAPER = 520 / 96
# Batches that keep a step on a CPU under a minute; what a step costs beside its images (Adam: 0.3 s) is little then.
BATCHES = {0: 16, 1: 16, 2: 4, 3: 2, 4: 1, 5: 1}
FADE = 2  # The level whose fade-in is measured too.
SCHEDULES = {"600 + 600": (600.0, 600.0), "800 + 800": (800.0, 800.0), "300 + 300": (300.0, 300.0)}


def measure(path: Path, repeats: int, last: int) -> None:
    """Store the CPU seconds a step takes per image at each level up to ``last``; levels stored already are left out."""
    torch.set_num_threads(1)
    # A GPU has no such shortcut, and the fit counts plain convolutions.
    convolution.pays_winograd = lambda *_: False  # type: ignore[assignment]
    stored: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    settings = {**find_preset("celebahq-1024").settings, "device": "cpu"}
    config = resolve_config(TrainConfig, preset=settings)
    for level, batch in BATCHES.items():
        for key, alpha in ((f"{4 << level}", 1.0), (f"{4 << level} fading", 0.5)):
            if key in stored or level > last or (alpha < 1 and level != FADE):
                continue
            # Networks of this level only: those of 1024x1024 hold the same layers up to it.
            stored[key] = time_step(config, level, alpha, batch, repeats)
            print(key, stored[key], flush=True)
            write_text_atomically(path, json.dumps(stored, indent=1) + "\n")


def time_step(config: TrainConfig, level: int, alpha: float, batch: int, repeats: int) -> dict[str, Any]:
    """Return the CPU seconds per image of each repeat."""
    shape = make_network(config, level)
    torch.manual_seed(0)
    generator, discriminator = Generator(shape), Discriminator(shape)
    stepper = Stepper(
        config,
        generator,
        discriminator,
        copy.deepcopy(generator).requires_grad_(False),
        device=torch.device("cpu"),
        rng=torch.Generator().manual_seed(0),
    )
    side = 4 << level
    reals = torch.randn(batch, 3, side, side).clamp(-1, 1)
    point = SchedulePoint(level, side, alpha, 0.0, 0, False, batch, config.lr)
    seconds = []
    for _ in range(repeats + (level < 3)):  # The first step of the quick ones is a warm-up.
        started = time.process_time()
        stepper.run(lambda: (reals, None), point)
        seconds.append((time.process_time() - started) / batch)
    return {"batch": batch, "seconds": seconds[-repeats:]}


def make_network(config: TrainConfig, level: int) -> NetworkConfig:
    """Return the networks up to a level."""
    return config.network(levels=level, base_height=4, base_width=4, channels=3, labels=0)


def count_work(config: TrainConfig, level: int) -> tuple[float, float]:
    """Return multiplications and activations of one image through both networks of a level, in units of 10^9."""
    shape = make_network(config, level)
    maps = [count_maps(shape, below) for below in range(level + 1)]
    multiplications = 16.0 * (config.latent_size * maps[0] + 2 * 9 * maps[0] ** 2 + maps[0] ** 2)
    activations = 16.0 * 5 * maps[0]
    for above in range(1, level + 1):
        pixels = float((4 << above) ** 2)
        # Two convolutions in each network: between the maps of two levels, and among this level's.
        multiplications += 2 * 9 * pixels * (maps[above - 1] * maps[above] + maps[above] ** 2)
        activations += pixels * (3 * maps[above] + maps[above - 1])
    multiplications += 2 * 3 * maps[level] * float((4 << level) ** 2)
    return multiplications / 1e9, activations / 1e9


def fit(config: TrainConfig, stored: dict[str, Any], last: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the two coefficients, from levels 2 to ``last``, with equal relative errors."""
    levels = [level for level in BATCHES if 2 <= level <= last and f"{4 << level}" in stored]
    times = np.array([median(stored[f"{4 << level}"]["seconds"]) for level in levels])
    work = np.array([count_work(config, level) for level in levels])
    coefficients, _ = nnls(work / times[:, None], np.ones(len(levels)))
    return np.asarray(coefficients)


def sum_time(seconds: list[float], schedule: ScheduleConfig, fade: float, images: int) -> float:
    """Return the hours that ``images`` images take, stepping through the schedule a thousand at a time."""
    total = 0.0
    for shown in range(0, images, 1000):
        point = schedule_at(schedule, shown)
        total += 1000 * seconds[point.level] * (fade if point.alpha < 1 else 1.0)
    return total / 3600


def report(path: Path) -> None:
    """Print the tables."""
    stored = json.loads(path.read_text())
    config = resolve_config(TrainConfig, preset=find_preset("celebahq-1024").settings)
    last = max(level for level in BATCHES if f"{4 << level}" in stored)
    coefficients = fit(config, stored, last)
    seconds = []
    print("| resolution | 10^9 multiplications, forward | CPU s an image | img/s | from |\n|---|---|---|---|---|")
    for level in range(LEVELS + 1):
        key = f"{4 << level}"
        work = count_work(config, level)
        seconds.append(median(stored[key]["seconds"]) if key in stored else float(np.dot(work, coefficients)))
        source = f"{len(stored[key]['seconds'])} steps of {stored[key]['batch']}" if key in stored else "the fit"
        print(f"| {key} | {work[0]:.2f} | {seconds[-1]:.3f} | {1 / seconds[-1]:.3f} | {source} |")
    before = float(np.dot(count_work(config, last), fit(config, stored, last - 1)))
    fade_key = f"{4 << FADE}"
    fade = median(stored[f"{fade_key} fading"]["seconds"]) / median(stored[fade_key]["seconds"])
    print(
        f"\nfit: {coefficients[0]:.3f} CPU s per 10^9 multiplications, {coefficients[1]:.1f} per 10^9 activations; "
        f"fitted without {4 << last}x{4 << last} it gives {before:.2f} CPU s there, measured {seconds[last]:.2f}; "
        f"fading in at {fade_key}x{fade_key} takes {fade:.2f} times as long\n"
    )
    compare(seconds, fade)


def count() -> None:
    """Print the ratios that follow from counting alone."""
    config = resolve_config(TrainConfig, preset=find_preset("celebahq-1024").settings)
    works = [count_work(config, level) for level in range(LEVELS + 1)]
    for kind, name in enumerate(("multiplications", "activations")):
        print(f"time in proportion to {name}; hours scaled to the paper's 520 at fixed resolution\n")
        unit = 520 * 3600 / IMAGES / works[LEVELS][kind]
        compare([work[kind] * unit for work in works], 1.0)
        print()


def compare(seconds: list[float], fade: float) -> None:
    """Print the hours of 6.4 million images for every schedule."""
    fixed = IMAGES * seconds[LEVELS] / 3600
    print(f"| schedule, kimg (stable + fade) | reaches | hours, growing | hours, fixed | ratio | paper {PAPER:.1f} |")
    print("|---|---|---|---|---|---|")
    for name, (stable, fading) in SCHEDULES.items():
        schedule = ScheduleConfig(LEVELS, stable_kimg=stable, fade_kimg=fading)
        hours = sum_time(seconds, schedule, fade, IMAGES)
        end = schedule_at(schedule, IMAGES - 1)
        where = f"{end.resolution}x{end.resolution}" + (" fading in" if end.alpha < 1 else "")
        ratio = fixed / hours
        print(f"| {name} | {where} | {hours:.0f} | {fixed:.0f} | {ratio:.1f} | {ratio / PAPER:.2f} of it |")


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["measure", "report", "count"])
    parser.add_argument("file", type=Path, nargs="?", default=Path("fig4.json"))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--last", type=int, default=max(BATCHES), help="highest level measured; 5 is 128x128")
    options = parser.parse_args()
    if options.command == "measure":
        measure(options.file, options.repeats, options.last)
    elif options.command == "report":
        report(options.file)
    else:
        count()


if __name__ == "__main__":
    main()
