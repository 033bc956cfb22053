"""How much of its correction a JPEG net should make, judged on photographs that are used for nothing else.

python -m benchmarks.correction_strength photos/validation runs/dejpeg/weights.safetensors

Prints the mean PSNR gained over the JPEG, in dB, when the difference between the net's output and its input is
multiplied by each of some factors; four 256x256 crops a photograph, at half its size, where its own artifacts are gone.
``ship_restoration_net --correction`` builds a factor in.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from celebahq_tools.restore import load_restorer
from celebahq_tools.restore.evaluation import cut_crops, list_damages
from celebahq_tools.restore.training.photographs import list_photographs, load_photographs
from celebahq_tools.restore.training.validation import measure_psnr

FACTORS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
QUALITIES = (10, 20, 40, 75)
SIDE = 256


def main() -> None:
    """Print the table and the best factor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("net", help="name or weight file")
    options = parser.parse_args()
    restorer = load_restorer("dejpeg", options.net, device="cpu")
    photographs = load_photographs(list_photographs([options.photos]), downscale=2, min_side=SIDE + 16)
    crops = cut_crops(photographs, SIDE, 4)
    means = np.zeros(len(FACTORS))
    print("| quality | " + " | ".join(map(str, FACTORS)) + " |\n|---|" + "---|" * len(FACTORS))
    for damage in list_damages("dejpeg", QUALITIES):
        if damage.quality is None:
            continue
        gains = []
        for crop in crops:
            damaged, truth = damage.apply(crop, SIDE)
            correction = restorer.restore(damaged).astype(np.float64) - damaged
            pictures = [np.clip(np.rint(damaged + factor * correction), 0, 255).astype(np.uint8) for factor in FACTORS]
            before = measure_psnr(truth, damaged)
            gains.append([measure_psnr(truth, picture) - before for picture in pictures])
        row = np.mean(gains, axis=0)
        means += row
        print(f"| {damage.label} | " + " | ".join(f"{gain:+.2f}" for gain in row) + " |", flush=True)
    print(f"\n{len(crops)} crops; the largest mean is that of {FACTORS[int(means.argmax())]}")


if __name__ == "__main__":
    main()
