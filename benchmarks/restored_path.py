"""Measures the restored path of one typical in-the-wild crop: JPEG removal, then 4x, in CPU seconds per image.

python -m benchmarks.restored_path                          every registered pair whose weights are installed
python -m benchmarks.restored_path --dejpeg rednet-xs none --sr srres-m lanczos

Process CPU seconds on one thread, median of five, after one run that is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import skimage.data
import torch

from celebahq_tools.errors import WeightsError
from celebahq_tools.restore import DEJPEG, SUPERRES, Kind, load_restorer
from celebahq_tools.restore.base import Restorer
from celebahq_tools.restore.training.degradations import compress

SIDE = 300
QUALITY = 75
RUNS = 5


def main() -> None:
    """Print one Markdown table per stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dejpeg", nargs="+", default=list(DEJPEG))
    parser.add_argument("--sr", nargs="+", default=list(SUPERRES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pixels = compress(np.ascontiguousarray(skimage.data.astronaut()[:SIDE, 80 : 80 + SIDE]), QUALITY)
    print(f"| stage | choice | CPU seconds per {SIDE}x{SIDE} crop |\n|---|---|---|")
    stages: tuple[tuple[Kind, list[str]], ...] = (("dejpeg", arguments.dejpeg), ("sr", arguments.sr))
    for kind, names in stages:
        for name in names:
            try:
                restorer = load_restorer(kind, name, device="cpu")
            except WeightsError as error:
                print(f"left out: {error}")
                continue
            print(f"| {kind} | {name} | {measure_seconds(restorer, pixels):.2f} |", flush=True)


def measure_seconds(restorer: Restorer, pixels: np.ndarray) -> float:
    """Return the median CPU seconds of one image."""
    restorer.restore(pixels[:64, :64])
    seconds = []
    for _ in range(RUNS):
        started = time.process_time()
        restorer.restore(pixels)
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
