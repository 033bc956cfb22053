"""Shows what restoration does to the product: the sample faces built with no nets, with downloaded ones and with ours.

python -m benchmarks.restoration_product work --ours-dejpeg rednet-l --ours-sr srres-m

Builds the twelve sample photographs four times, once with our JPEG removal and the downloaded enlargement, and prints
the spectral score of every face; the picture shows the same faces side by side. The two builds with the downloaded
enlargement take some ten CPU-minutes each.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.picture_sheet import save_sheet
from celebahq_tools.store.reader import DatasetReader

SHOWN = 4
SIDE = 256


def main() -> None:
    """Build, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ours-dejpeg", default="rednet-l")
    parser.add_argument("--ours-sr", default="srres-m")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--picture", type=Path, default=Path("docs/images/restoration-product.jpg"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    photos = arguments.folder / "photos"
    if not photos.exists():
        run("sample", photos)
    choices = {
        "none": ("none", "lanczos"),
        "downloaded": ("jpeg-resnet", "realsr-df2k"),
        "mixed": (arguments.ours_dejpeg, "realsr-df2k"),
        "ours": (arguments.ours_dejpeg, arguments.ours_sr),
    }
    scores: dict[str, dict[int, float]] = {}
    faces: dict[str, dict[int, np.ndarray]] = {}
    for label, (dejpeg, sr) in choices.items():
        out = arguments.folder / f"{label}.h5"
        if not out.exists():
            run(
                "build", "--in", photos, "--out", out, "--dejpeg", dejpeg, "--sr", sr,
                "--size", arguments.size, "--workers", arguments.workers,
            )  # fmt: skip
        with out.with_suffix(".manifest.csv").open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["dataset_index"]]
        scores[label] = {int(row["index"]): float(row["score"]) for row in rows}
        with DatasetReader(out) as reader:
            faces[label] = {
                int(row["index"]): reader.read(int(row["dataset_index"])).reshape(reader.shapes[0]).transpose(1, 2, 0)
                for row in rows
            }
    common = sorted(set.intersection(*(set(found) for found in scores.values())))
    print("| photograph | " + " | ".join(scores) + " |\n|---|" + "---|" * len(scores))
    for index in common:
        print(f"| {index + 1:06d} | " + " | ".join(f"{found[index]:.3f}" for found in scores.values()) + " |")
    means = [statistics.mean(found[index] for index in common) for found in scores.values()]
    print("| **mean** | " + " | ".join(f"**{mean:.3f}**" for mean in means) + " |")
    shown = common[:: max(len(common) // SHOWN, 1)][:SHOWN]
    rows = [[cut_middle(found[index]) for found in faces.values()] for index in shown]
    save_sheet(list(faces), rows, arguments.picture, side=SIDE)


def run(*arguments: object) -> None:
    """Run a `celebahq` command."""
    subprocess.run([Path(sys.executable).with_name("celebahq"), *map(str, arguments)], check=True)


def cut_middle(face: np.ndarray) -> np.ndarray:
    """Return the middle of a face, at full size."""
    start = (face.shape[0] - SIDE) // 2
    return face[start : start + SIDE, start : start + SIDE]


if __name__ == "__main__":
    main()
