"""Alignment, crop to final 1024 without nets, against the same steps done plainly; see results/align.md.

Run from the project's root: ``python benchmarks/bench_align.py``. CPU seconds of all threads, median of several
rounds in which both ways alternate.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from celebahq_tools.align.pad import Padding, pad_with_blur
from celebahq_tools.align.quad import OrientedCrop
from celebahq_tools.align.warp import warp_crop
from celebahq_tools.types import Pixels

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "hq"
Case = tuple[Pixels, OrientedCrop, Padding | None, float]


def run_plainly(pixels: Pixels, crop: OrientedCrop, padding: Padding | None, sigma: float) -> Pixels:
    """Pad and blur at full resolution with scipy, then Pillow QUAD to 4096 and Pillow BOX."""
    if padding is not None:
        left, top, right, bottom = padding
        image = np.pad(pixels.astype(np.float32), ((top, bottom), (left, right), (0, 0)), mode="reflect")
        height, width = image.shape[:2]
        y, x, _ = np.ogrid[:height, :width, :1]
        near = np.minimum(np.float32(x) / left, np.float32(y) / top)
        far = np.minimum(np.float32(width - 1 - x) / right, np.float32(height - 1 - y) / bottom)
        mask = 1 - np.minimum(near, far)
        image += (ndimage.gaussian_filter(image, (sigma, sigma, 0)) - image) * np.clip(3 * mask + 1, 0, 1)
        image += (np.median(image, axis=(0, 1)) - image) * np.clip(mask, 0, 1)
        pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        crop = crop.shifted(left, top)
    along, down = crop.steps(4096)
    corners = (crop.corners + 0.5 - (along + down) / 2).ravel()
    big = Image.fromarray(pixels).transform(
        (4096, 4096), Image.Transform.QUAD, tuple(corners), Image.Resampling.BILINEAR
    )
    return np.asarray(big.resize((1024, 1024), Image.Resampling.BOX))


def run_ours(pixels: Pixels, crop: OrientedCrop, padding: Padding | None, sigma: float) -> Pixels:
    """The package's own padding and warp."""
    if padding is not None:
        pixels, crop = pad_with_blur(pixels, padding, sigma), crop.shifted(padding.left, padding.top)
    return warp_crop(pixels, crop, 1024)


def load_case(name: str) -> Case:
    """The golden image before padding (cut out of the padded one: the inside of the quad is what counts)."""
    parts = [np.asarray(Image.open(GOLDEN / f"{name}.pretransform.{i}.webp").convert("RGB")) for i in (0, 1)]
    pixels = np.concatenate(parts)
    stage = json.loads((GOLDEN / "cases.json").read_text())[name]["transform"]
    crop = OrientedCrop(np.array(stage["quad"]), 512 / stage["zoom"])
    if not any(stage["pad"]):
        return pixels, crop, None, 0.0
    left, top, right, bottom = stage["pad"]
    inner = np.ascontiguousarray(pixels[top : pixels.shape[0] - bottom, left : pixels.shape[1] - right])
    return inner, crop.shifted(-left, -top), Padding(*stage["pad"]), 0.02 * 1024 / stage["zoom"]


def enlarge(case: Case, sigma: float) -> Case:
    """The same case as a 4x net would give it: larger, hence a larger sigma."""
    pixels, crop, padding, old = case
    factor = sigma / old
    size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
    larger = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    return larger, crop.scaled(factor), Padding(*(round(side * factor) for side in padding or ())), sigma


def measure(function: Callable[..., Any], case: Case) -> float:
    """CPU seconds of one call, all threads."""
    start = time.process_time()
    function(*case)
    return time.process_time() - start


def main() -> None:
    """Print one line per case, or with --peak the peak memory of one alignment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", choices=["A", "E", "huge", "padded"])
    arguments = parser.parse_args()
    if arguments.peak:
        print_peak(arguments.peak)
        return
    padded = load_case("E_native_padall")
    cases = {
        "A (no padding)": load_case("A_native"),
        "B (sigma 21)": load_case("B_3x_padtop"),
        "E (sigma 28)": padded,
        "E enlarged (sigma 50)": enlarge(padded, 50.0),
    }
    print(f"{'case':24} {'plain CPU-s':>12} {'ours CPU-s':>11} {'ratio':>6} {'max diff':>9}")
    for name, case in cases.items():
        apart = np.abs(run_plainly(*case).astype(int) - run_ours(*case)).max()
        pairs = [(measure(run_plainly, case), measure(run_ours, case)) for _ in range(arguments.rounds)]
        plain, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"{name:24} {plain:12.3f} {ours:11.3f} {plain / ours:6.1f} {apart:9d}", flush=True)
    for peak in ("A", "E", "huge", "padded"):
        subprocess.run([sys.executable, __file__, "--peak", peak], check=True)


def print_peak(name: str) -> None:
    """Align one photograph from scratch in this process and print its peak memory."""
    from celebahq_tools.align.face import align_face

    if name in ("A", "E"):
        pixels, crop, padding, sigma = load_case({"A": "A_native", "E": "E_native_padall"}[name])
        run_ours(pixels, crop, padding, sigma)
    else:
        rng = np.random.default_rng(0)
        tile = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        photo = np.tile(tile, (141, 106, 1))[:8984, :6732]
        # Both crops have 4,090 pixels a side, just short of being reduced first: nothing makes more pixels. The second
        # lies at the corner of the photograph and is padded on all sides.
        centre = np.array([3300.0, 4400.0]) if name == "huge" else np.array([1600.0, 1600.0])
        offsets = np.array([[-0.5, 0], [0.5, 0], [0, 0.5], [-0.4, 1], [0.4, 1]])
        reach = 1022.5
        face = align_face(photo, centre + reach * offsets)
        print(f"zoom {face.zoom:.3f} shrink {face.shrink} padding {face.padding}", end=" ")
    # Not ru_maxrss: that one is inherited from the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(f"{name}: peak {int(status['VmHWM'].split()[0]) / 1024:.0f} MB including the photograph and imports")


if __name__ == "__main__":
    main()
