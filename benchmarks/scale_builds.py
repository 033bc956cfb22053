"""How a build's time, memory and disk grow with its input: `python -m benchmarks.scale_builds PHOTOS COUNT...`.

Cuts COUNT crops out of the photographs in folder PHOTOS, at sizes like those of CelebA's in-the-wild photographs,
with landmarks as of an upright face in the middle, and builds each set with the installed `celebahq build`, guards off,
nets off but for `--nets`.
One row a count: processor time an image (of several rounds the median, with least and most), also without what a build
of one photograph takes; the coordinator's largest memory, the most disk used by work folder and dataset together, and
the dataset alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from celebahq_tools.source.landmark_file import COLUMNS

CELEBAHQ = Path(sys.executable).with_name("celebahq")
# Of CelebA's in-the-wild photographs: half are below 0.25 megapixels, few above one.
MEDIAN_SIDE, SPREAD = 420, 0.35
FACE = np.array([(0.40, 0.42), (0.60, 0.42), (0.50, 0.54), (0.42, 0.64), (0.58, 0.64)])


def open_photos(folder: Path) -> list[Image.Image]:
    """Return the photographs in a folder that crops can be cut from, not decoded yet."""
    images = map(Image.open, sorted(folder.rglob("*.jpg")))
    return [image for image in images if min(image.size) > 1000 and image.mode == "RGB"]


def make_set(photos: list[Image.Image], folder: Path, count: int, *, distinct: int = 0, seed: int = 0) -> None:
    """Write crops and their landmark file in CelebA's layout.

    Args:
        photos: What to cut from.
        folder: Made.
        count: Photographs in it.
        distinct: So many crops; the others are links to them, by which a set of CelebA's size fits a small disk.
        seed: Of the crops.
    """
    rng = np.random.default_rng(seed)
    images = folder / "img_celeba"
    images.mkdir(parents=True)
    (folder / "Anno").mkdir()
    lines = [str(count), " ".join(COLUMNS)]
    for number in range(1, min(count, distinct or count) + 1):
        photo = photos[rng.integers(len(photos))]
        width = int(np.clip(rng.lognormal(np.log(MEDIAN_SIDE), SPREAD), 120, min(photo.size) - 1))
        height = min(int(width * rng.uniform(1.0, 1.5)), photo.height - 1)
        left, top = rng.integers(photo.width - width), rng.integers(photo.height - height)
        crop = photo.crop((left, top, left + width, top + height))
        crop.save(images / f"{number:06d}.jpg", quality=int(rng.integers(60, 96)))
        points = (FACE * width + (0, (height - width) / 2) + rng.normal(0, 0.01 * width, (5, 2))).round().astype(int)
        lines.append(f"{number:06d}.jpg " + " ".join(map(str, points.ravel())))
    for number in range(len(lines) - 1, count + 1):
        twin = lines[2 + (number - 1) % distinct]
        name, _, points = twin.partition(" ")
        (images / f"{number:06d}.jpg").hardlink_to(images / name)
        lines.append(f"{number:06d}.jpg {points}")
    (folder / "Anno" / "list_landmarks_celeba.txt").write_text("\n".join(lines) + "\n")


def measure_folder(folder: Path) -> int:
    """Return the bytes of all files in a folder; files that vanish meanwhile count nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_size  # noqa: PTH116, PTH118  # quick, for many files
            except OSError:
                continue
    return total


@dataclass(frozen=True)
class Measured:
    """What one build took.

    Attributes:
        processor: Seconds of all its processes.
        memory: The coordinator's largest, in MiB.
        disk: The most bytes of work folder and dataset together.
        dataset: Bytes of the dataset.
    """

    processor: float
    memory: float
    disk: int
    dataset: int


def measure_build(photos: Path, out: Path, options: list[str]) -> Measured:
    """Build a dataset and return what that took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [CELEBAHQ, "build", "--in", photos, "--out", out, *options]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    memory, disk = 0.0, 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            memory = max(memory, int(status.partition("VmHWM:")[2].split()[0]) / 1024)
        except (OSError, IndexError):
            pass
        begun = time.monotonic()
        disk = max(disk, measure_folder(out.parent))
        time.sleep(max(1, 20 * (time.monotonic() - begun)))  # looking through many files takes time as well
    if process.returncode:
        raise SystemExit(f"the build failed: {' '.join(map(str, command))}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(processor, memory, disk, out.stat().st_size)


def format_median(values: list[float]) -> str:
    """Return the median, and least and most if there are several."""
    spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
    return f"{statistics.median(values):.1f}{spread}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--keep", type=float, default=0.15, help="Share that is kept; CelebA-HQ keeps 0.148.")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-report", action="store_true", help="Without the report at the end of each build.")
    parser.add_argument("--rounds", type=int, default=1, help="Builds of each count, in turn.")
    parser.add_argument("--distinct", type=int, default=0, help="Different crops; the other photographs link to them.")
    parser.add_argument("--nets", action="store_true", help="With the default nets.")
    arguments = parser.parse_args()
    options = ["--size", str(arguments.size), "--guards", "none", "--workers", str(arguments.workers)]
    options += [] if arguments.nets else ["--dejpeg", "none", "--sr", "lanczos"]
    options += ["--no-report"] if arguments.no_report else []
    opened = open_photos(arguments.photos)
    found: dict[int, list[Measured]] = {count: [] for count in (1, *arguments.counts)}
    with tempfile.TemporaryDirectory() as name:
        for count in found:
            make_set(opened, Path(name, str(count)), count, distinct=arguments.distinct)
        # In turn, so that what else the machine does falls on all counts alike.
        for number in range(arguments.rounds):
            for count in found:
                out = Path(name, f"made-{count}-{number}") / "x.h5"
                out.parent.mkdir()
                keep = max(1, round(arguments.keep * count))
                found[count].append(measure_build(Path(name, str(count)), out, [*options, "--keep", str(keep)]))
                shutil.rmtree(out.parent)
    start = statistics.median(row.processor for row in found.pop(1))
    print(f"Start and end, as of a build of one photograph: {start:.1f} CPU-s.\n")
    print("| inputs | CPU ms an image | without start and end | coordinator MiB | disk, most / dataset |")
    print("|---|---|---|---|---|")
    for count, rows in found.items():
        whole = format_median([row.processor / count * 1e3 for row in rows])
        rest = format_median([(row.processor - start) / count * 1e3 for row in rows])
        memory, disk = max(row.memory for row in rows), max(row.disk for row in rows)
        print(f"| {count} | {whole} | {rest} | {memory:.0f} | {disk / 1e6:.1f} MB / {rows[0].dataset / 1e6:.1f} MB |")


if __name__ == "__main__":
    main()
