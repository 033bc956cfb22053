"""Measures the restoration nets on real photographs; prints the tables of docs/restoration.md and draws its picture.

python -m benchmarks.restoration_table                 everything, about five minutes on one core
python -m benchmarks.restoration_table --parts psnr    one part: psnr, ssim, reach, seams or speed
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks.picture_sheet import save_sheet
from celebahq_tools.errors import WeightsError
from celebahq_tools.restore import Kind, load_restorer
from celebahq_tools.restore.base import Restorer
from celebahq_tools.restore.network import NetRestorer
from celebahq_tools.restore.tiling import TilePlan, run_tiled
from celebahq_tools.types import Pixels

QUALITIES = (10, 20, 40, 75)
PICTURE_QUALITY = 75
FACE = (slice(0, 256), slice(96, 352))
NETS: tuple[tuple[Kind, str], ...] = (
    ("dejpeg", "jpeg-resnet"),
    ("dejpeg", "rednet-l"),
    ("dejpeg", "rednet-xs"),
    ("sr", "realsr-df2k"),
    ("sr", "x4plus"),
    ("sr", "srres-m"),
)


def read_crops() -> dict[str, Pixels]:
    """Return 256x256 crops of photographs that come with scikit-image, by name and offset (top, left)."""
    photos = {
        "astronaut": (skimage.data.astronaut(), [(0, 96), (256, 128)]),
        "coffee": (skimage.data.coffee(), [(60, 200), (140, 0)]),
        "chelsea": (skimage.data.chelsea(), [(20, 100)]),
        "rocket": (skimage.data.rocket(), [(100, 200)]),
        "motorcycle": (skimage.data.stereo_motorcycle()[0], [(120, 40), (200, 440)]),
    }
    return {
        f"{name} ({top}, {left})": np.ascontiguousarray(photo[top : top + 256, left : left + 256])
        for name, (photo, offsets) in photos.items()
        for top, left in offsets
    }


def compress(pixels: Pixels, quality: int) -> Pixels:
    """Return an image after JPEG with 4:2:0 subsampling."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(buffer))


def measure_psnr() -> None:
    """Print the PSNR gained over the JPEG itself."""
    restorer = load_restorer("dejpeg", "jpeg-resnet", device="cpu")
    print("| crop (top, left) | " + " | ".join(f"q {quality}" for quality in QUALITIES) + " | mean |")
    print("|---|" + "---|" * (len(QUALITIES) + 1))
    gains = []
    for name, truth in read_crops().items():
        row = []
        for quality in QUALITIES:
            damaged = compress(truth, quality)
            before = peak_signal_noise_ratio(truth, damaged)
            row.append(peak_signal_noise_ratio(truth, restorer.restore(damaged)) - before)
        gains.append(row)
        print(f"| {name} | " + " | ".join(f"{gain:+.2f}" for gain in [*row, statistics.mean(row)]) + " |")
    means = [statistics.mean(column) for column in zip(*gains, strict=True)]
    print("| **mean** | " + " | ".join(f"**{gain:+.2f}**" for gain in [*means, statistics.mean(means)]) + " |")


def measure_ssim(picture: Path) -> None:
    """Print the SSIM of a face that was reduced four times and compressed, and draw what it looks like."""
    truth = skimage.data.astronaut()[FACE]
    small = np.asarray(Image.fromarray(truth).resize((64, 64), Image.Resampling.BICUBIC))
    dejpeg = load_restorer("dejpeg", "jpeg-resnet", device="cpu")
    nets = load_nets("sr")
    print("| JPEG quality of the 64x64 face | bicubic | " + " | ".join(f"de-JPEG + {net.name}" for net in nets) + " |")
    print("|---|---|" + "---|" * len(nets))
    for quality in (30, 50, 75, 90):
        damaged = compress(small, quality)
        bicubic = np.asarray(Image.fromarray(damaged).resize((256, 256), Image.Resampling.BICUBIC))
        results = [bicubic, *(net.restore(dejpeg.restore(damaged)) for net in nets)]
        scores = [structural_similarity(truth, image, channel_axis=2) for image in results]
        print(f"| {quality} | " + " | ".join(f"{score:.3f}" for score in scores) + " |")
        if quality == PICTURE_QUALITY:
            labels = [f"64x64 JPEG q{quality}, bicubic", *(f"de-JPEG + {net.name}" for net in nets)]
            titles = [f"{labels[i]}: SSIM {scores[i]:.3f}" for i in (0, 1)]
            save_sheet([*titles, "truth, 256x256"], [[*results[:2], truth]], picture, side=512)


def measure_reach() -> None:
    """Print how far from a cut the output still differs by more than one grey level."""
    # Clean and strongly compressed in turn: fine detail and blocking both carry far.
    inputs = [compress(crop, 10) if i % 2 else crop for i, crop in enumerate(read_crops().values())]
    inputs = [pixels[60:140, 34:204] for pixels in inputs]
    print("| net | largest change at the cut | farthest pixel that changes by more than 1 | halo used |")
    print("|---|---|---|---|")
    for net in load_nets("dejpeg", "sr"):
        worst, farthest = 0, 0
        for pixels in inputs if net.scale == 1 else inputs[:3]:
            changes = _changes_by_distance(net, pixels)
            worst = max(worst, int(changes.max()))
            farthest = max([farthest, *(int(i) + 1 for i in np.flatnonzero(changes > 1))])
        print(f"| {net.name} | {worst} | {farthest} px | {net.halo} px |")


def _changes_by_distance(net: NetRestorer, pixels: Pixels) -> np.ndarray:
    """Return the largest change of output pixels at input distance 0, 1 ... from a cut down the middle."""
    half = pixels.shape[1] // 2 // 2 * 2
    whole = net.restore(pixels)[:, : half * net.scale].astype(np.int16)
    change = np.abs(whole - net.restore(pixels[:, :half])).max(axis=(0, 2))
    return change.reshape(half, net.scale).max(axis=1)[::-1]


def measure_seams() -> None:
    """Print the largest difference between tiled and untiled results."""
    print("| net | image | tiles | largest difference | values that differ |")
    print("|---|---|---|---|---|")
    for net in load_nets("dejpeg", "sr"):
        photo = compress(skimage.data.astronaut(), 60)
        pixels = photo if net.scale == 1 else photo[100:180, 130:390]
        # Smaller than in production, so that a photograph of this size has many seams.
        plan = TilePlan(net.plan.rule, net.halo, 2 * net.halo + 32)
        tiled = run_tiled(pixels, net.run_tile, scale=net.scale, plan=plan)
        difference = np.abs(tiled.astype(np.int16) - net.run_tile(pixels))
        tiles = len(plan.split_axis(pixels.shape[0])) * len(plan.split_axis(pixels.shape[1]))
        print(
            f"| {net.name} | {pixels.shape[1]}x{pixels.shape[0]} | {tiles} of {plan.tile} px | {difference.max()} "
            f"| {100 * (difference > 0).mean():.3f} % |"
        )


def measure_speed() -> None:
    """Print process CPU seconds per megapixel on one thread, the median of five."""
    import torch

    torch.set_num_threads(1)
    print("| net | CPU-s per input megapixel | CPU-s per output megapixel |")
    print("|---|---|---|")
    for net in load_nets("dejpeg", "sr"):
        pixels = skimage.data.astronaut() if net.scale == 1 else skimage.data.astronaut()[:128, 128:256]
        seconds = statistics.median(_time(net, pixels) for _ in range(5))
        megapixels = pixels.shape[0] * pixels.shape[1] / 1e6
        print(f"| {net.name} | {seconds / megapixels:.1f} | {seconds / megapixels / net.scale**2:.1f} |")


def _time(net: Restorer, pixels: Pixels) -> float:
    start = time.process_time()
    net.restore(pixels)
    return time.process_time() - start


def load_nets(*kinds: str) -> list[NetRestorer]:
    """Return the nets of these kinds whose weights are installed, on the CPU."""
    nets = []
    for kind, name in NETS:
        try:
            net = load_restorer(kind, name, device="cpu")
        except WeightsError as error:
            print(f"left out: {error}\n")
            continue
        if kind in kinds and isinstance(net, NetRestorer):
            nets.append(net)
    return nets


def main() -> None:
    """Print the parts asked for, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("psnr", "ssim", "reach", "seams", "speed")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--picture", type=Path, default=Path("docs/images/restoration.png"))
    arguments = parser.parse_args()
    measure = {
        "psnr": measure_psnr,
        "ssim": lambda: measure_ssim(arguments.picture),
        "reach": measure_reach,
        "seams": measure_seams,
        "speed": measure_speed,
    }
    for part in arguments.parts:
        print(f"\n{part}\n")
        measure[part]()


if __name__ == "__main__":
    main()
