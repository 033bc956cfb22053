"""Score a run: SWD of the untrained generator, of its checkpoints, and of a blurred copy of the reals.

    python -m benchmarks.learning_score RUN_FOLDER --images 4096

All figures compare the same number of images at full resolution with the same reals, the first ones of the dataset.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from gan_metrics import MetricSettings, SlicedWasserstein
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from celebahq_tools.config import resolve_config
from celebahq_tools.tensor_file import list_checkpoints
from pggan_core.checkpoint import read_checkpoint
from pggan_core.config import TrainConfig
from pggan_core.data import open_source
from pggan_core.gallery import Gallery
from pggan_core.networks import Generator
from pggan_core.schedule import schedule_at
from pggan_core.setup import derive_network


def blur(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images (N, C, H, W) blurred with sigma 1 pixel."""
    return (
        np.rint(gaussian_filter(images.astype(np.float32), (0, 0, 1, 1), mode="mirror")).clip(0, 255).astype(np.uint8)
    )


def main() -> None:
    """Print the table of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--last", type=int, default=100, help="score only that many checkpoints, the newest")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    stored = json.loads((options.run_folder / "config.json").read_text())
    config = resolve_config(TrainConfig, preset=stored)
    source = open_source(Path(config.data))
    network = derive_network(config, source)
    schedule = config.schedule(network.levels)
    height, _ = network.resolution(network.levels)
    reals = source.read(range(options.images), height)
    metric = SlicedWasserstein(MetricSettings(seed=0, workers=options.threads, floor=False))
    metric.update_reals(reals)

    def report(name: str, *batches: NDArray[np.uint8]) -> None:
        metric.clear_fakes()
        for batch in batches:
            metric.update_fakes(batch)
        print(f"{name:<28}", "  ".join(f"{k} {v:.1f}" for k, v in metric.compute().values.items()), flush=True)

    report("other reals", source.read(range(options.images, 2 * options.images), height))
    report("reals blurred, sigma 1", blur(reals))
    torch.manual_seed(config.seed)
    average = Generator(network)
    gallery = Gallery(source, average, torch.device("cpu"), config.seed)
    report("untrained", *gallery.take_snapshot(0, schedule_at(schedule, 0)).draw(options.images))
    for path in list_checkpoints(options.run_folder / "checkpoints")[-options.last :]:
        checkpoint = read_checkpoint(path)
        weights = {name[8:]: value for name, value in checkpoint.tensors.items() if name.startswith("average/")}
        average.load_state_dict(weights)
        shown = int(checkpoint.progress["images_shown"])
        point = schedule_at(schedule, max(shown - 1, 0))
        report(f"{shown / 1000:.0f} kimg", *gallery.take_snapshot(shown, point).draw(options.images))


if __name__ == "__main__":
    main()
