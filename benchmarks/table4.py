"""Table 4 in small: the MNIST-1K mode test of the crippled discriminators, beside the paper's figures.

    python -m benchmarks.table4 data FOLDER_OF_IDX_FILES mnist-1k.h5
    python -m benchmarks.table4 run mnist-1k.h5 runs/table4 --kimg 150 --seeds 2
    python -m benchmarks.table4 report runs/table4

The presets `mnist-rgb-*` are trained as they are but for their length and what the options change. ``--kimg`` stands
for the paper's 10,000; the progressive variant gets half as much again, with its phases shortened alike, as in the
paper. A run that was stopped goes on, one that is done is not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from gan_metrics import MetricSettings
from gan_metrics.modes import PAPER_NUM_IMAGES, ModeCoverage
from numpy.typing import NDArray

from celebahq_tools.config import resolve_config
from celebahq_tools.source.idx import read_mnist
from celebahq_tools.store.writer import create_dataset
from celebahq_tools.tensor_file import list_checkpoints
from pggan_core.checkpoint import load_generator
from pggan_core.config import TrainConfig
from pggan_core.presets import find_preset
from pggan_core.sampling import to_pixels
from pggan_core.trainer import Trainer

IMAGES = 60000
PAPER_KIMG = 10000
SIZES = {"K/4": "k4", "K/2": "k2"}
VARIANTS = {"WGAN-GP": "wgan-gp", "+ our norm": "norm", "+ mb stddev": "mbstd", "+ progression": "grow"}
# Karras et al. 2018, Table 4: mean and standard deviation over 8 seeds. None: not legible in the copy at hand, whose
# two last columns run into each other.
PAPER: dict[str, dict[str, list[str | None]]] = {
    "K/4": {
        "modes": ["640.1 ± 136.3", "856.7 ± 50.4", "881.3 ± 39.2", "859.5 ± 36.2"],
        "kl": ["1.97 ± 0.70", "1.10 ± 0.19", None, "1.05 ± 0.09"],
    },
    "K/2": {
        "modes": ["772.4 ± 146.5", "886.6 ± 58.5", None, "919.8 ± 35.1"],
        "kl": ["1.35 ± 0.55", "0.98 ± 0.33", "0.89 ± 0.21", "0.82 ± 0.13"],
    },
}


def stack_digits(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield three random digits as the channels of one image (32, 32, 3), padded by 2 pixels."""
    digits = np.pad(read_mnist(folder, "train")[0], ((0, 0), (2, 2), (2, 2)))
    rng = np.random.default_rng(0)
    for _ in range(IMAGES):
        yield np.ascontiguousarray(digits[rng.integers(len(digits), size=3)].transpose(1, 2, 0))


def make_config(data: Path, name: str, seed: int, kimg: float, batch: int) -> TrainConfig:
    """Return the preset ``name``, shortened from the paper's 10,000 kimg to ``kimg``."""
    settings = dict(find_preset(name).settings)
    scale = kimg / PAPER_KIMG
    for key in ("kimg", "stable_kimg", "fade_kimg"):
        settings[key] = float(str(settings[key])) * scale
    settings |= {"data": str(data), "seed": seed, "device": "cpu", "workers": 0, "keep": 1, "tick_kimg": kimg / 10}
    if batch:
        settings["batch"] = batch
    return resolve_config(TrainConfig, preset=settings)


def score(checkpoint: Path) -> tuple[float, float]:
    """Return modes covered and KL of 25,600 images of a checkpoint's running average."""
    generator = load_generator(checkpoint)
    metric = ModeCoverage(MetricSettings(device="cpu"))
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(PAPER_NUM_IMAGES // 256):
            latents = torch.randn(256, generator.config.latent_size, generator=rng)
            metric.update_fakes(to_pixels(generator(latents, level=generator.config.levels)))
    values = metric.compute().values
    return values["modes"], values["kl"]


def run(options: argparse.Namespace) -> None:
    """Train and score what is not done yet; one line of scores.jsonl each."""
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    scores = options.out / "scores.jsonl"
    done = {(line["name"], line["seed"]) for line in read_scores(scores)}
    for seed in range(options.seeds):
        for name in (f"mnist-rgb-{size}-{variant}" for size in SIZES.values() for variant in VARIANTS.values()):
            if (name, seed) in done or (options.only and options.only not in name):
                continue
            folder = options.out / f"{name}-{seed}"
            config = make_config(options.data, name, seed, options.kimg, options.batch)
            started = time.process_time()
            trainer = Trainer(config, folder, resume="auto")
            trainer.run()
            seconds = time.process_time() - started
            modes, kl = score(list_checkpoints(folder / "checkpoints")[-1])
            line = {
                "name": name, "seed": seed, "modes": modes, "kl": kl, "kimg": config.kimg, "batch": config.batch,
                "cpu_seconds": seconds, "skipped": trainer.skipped,
            }  # fmt: skip
            with scores.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)


def read_scores(path: Path) -> list[dict[str, float | str]]:
    """Return the runs done so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(out: Path) -> None:
    """Print the table, and the order of the variants in the paper and here."""
    lines = read_scores(out / "scores.jsonl")
    print("| D | variant | modes | paper | KL | paper | kimg | CPU s a run |\n|---|---|---|---|---|---|---|---|")
    means: dict[tuple[str, str], list[float]] = {}
    for size, short in SIZES.items():
        for place, (title, variant) in enumerate(VARIANTS.items()):
            runs = [line for line in lines if line["name"] == f"mnist-rgb-{short}-{variant}"]
            if not runs:
                continue
            for key in ("modes", "kl"):
                means.setdefault((size, key), []).append(mean(float(line[key]) for line in runs))
            cells = [
                _summarize([float(line["modes"]) for line in runs], 0),
                PAPER[size]["modes"][place] or "?",
                _summarize([float(line["kl"]) for line in runs], 2),
                PAPER[size]["kl"][place] or "?",
                f"{float(runs[0]['kimg']):.0f}",
                f"{mean(float(line['cpu_seconds']) for line in runs):.0f}",
            ]
            print(f"| {size} | {title} | {' | '.join(cells)} |")
    print()
    for (size, key), values in means.items():
        worst_first = sorted(zip(values, VARIANTS, strict=False), reverse=key == "kl")
        print(f"{size}, {key}, from worst to best: {', '.join(title for _, title in worst_first)}")


def _summarize(values: list[float], digits: int) -> str:
    """Return the mean, the standard deviation, and the values."""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread} ({', '.join(f'{value:.{digits}f}' for value in values)})"


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("data", help="stack digits into a dataset")
    make.add_argument("mnist", type=Path)
    make.add_argument("out", type=Path)
    train = commands.add_parser("run", help="train and score")
    train.add_argument("data", type=Path)
    train.add_argument("out", type=Path)
    train.add_argument("--kimg", type=float, default=150.0, help="length that stands for the paper's 10,000")
    train.add_argument("--seeds", type=int, default=2)
    train.add_argument("--batch", type=int, default=0, help="another minibatch than the preset's 64")
    train.add_argument("--only", help="only presets whose name contains this")
    show = commands.add_parser("report", help="print the table")
    show.add_argument("out", type=Path)
    options = parser.parse_args()
    if options.command == "data":
        with create_dataset(options.out, height=32, width=32) as writer:
            for image in stack_digits(options.mnist):
                writer.append(image)
    elif options.command == "run":
        run(options)
    else:
        report(options.out)


if __name__ == "__main__":
    main()
