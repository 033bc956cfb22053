"""Which damage each metric sees: crops of photographs, damaged in known ways, scored against other crops.

    python -m benchmarks.metrics_sensitivity --out docs/images/metrics_sensitivity.png

Prints a table in Markdown and draws it. Reals are crops of the photographs bundled with scikit-image; fakes are other
crops of the same, undamaged ("none", the floor) or damaged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from gan_metrics import METRICS, MetricSettings
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket")
METRIC_NAMES = ("swd", "ms-ssim", "fid", "kid", "prdc")
SIDE = 64


def make_crops(count: int, seed: int, names: tuple[str, ...] = PHOTOGRAPHS) -> NDArray[np.uint8]:
    """Return (count, 3, 64, 64) crops of 96 to 192 pixels, reduced by an antialiased filter."""
    rng = np.random.default_rng(seed)
    photographs = [np.asarray(getattr(skimage.data, name)())[..., :3] for name in names]
    crops = []
    for index in range(count):
        photograph = photographs[index % len(photographs)]
        side = int(rng.integers(96, 193))
        top, left = (int(rng.integers(limit - side)) for limit in photograph.shape[:2])
        crop = Image.fromarray(photograph[top : top + side, left : left + side])
        crops.append(np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
    return np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2))


def add_noise(images: NDArray[np.uint8], deviation: float) -> NDArray[np.uint8]:
    """Return images with white Gaussian noise."""
    noisy = images + np.random.default_rng(9).normal(0, deviation, images.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def blur(images: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Return images blurred by a Gaussian."""
    return np.asarray(ndimage.gaussian_filter(images, (0, 0, sigma, sigma)))


def shift_colour(images: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
    """Return images with red raised and blue lowered by so many grey levels."""
    shifted = images + np.array([amount, 0, -amount])[:, None, None]
    return np.clip(np.rint(shifted), 0, 255).astype(np.uint8)


def desaturate(images: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """Return images moved towards their grey version."""
    grey = images.mean(axis=1, keepdims=True)
    return np.clip(np.rint(images * (1 - share) + grey * share), 0, 255).astype(np.uint8)


def make_fakes(count: int) -> dict[str, NDArray[np.uint8]]:
    """Return sets of fakes by the name of their damage."""
    clean = make_crops(count, 2)
    return {
        "none (floor)": clean,
        "blur, sigma 0.7": blur(clean, 0.7),
        "blur, sigma 1.5": blur(clean, 1.5),
        "noise, deviation 20": add_noise(clean, 20),
        "colour shift, 30 levels": shift_colour(clean, 30),
        "desaturated by half": desaturate(clean, 0.5),
        "modes: 3 of 7 photographs": make_crops(count, 2, PHOTOGRAPHS[:3]),
        "modes: 8 images repeated": clean[np.random.default_rng(9).integers(8, size=count)],
    }


def score_all(count: int) -> dict[str, dict[str, float]]:
    """Return the values of all metrics by damage."""
    settings = MetricSettings(seed=0, workers=2, floor=False)
    metrics = [METRICS.load(name)(settings) for name in METRIC_NAMES]
    reals = make_crops(count, 1)
    for start in range(0, count, 32):
        batch = reals[start : start + 32]
        for metric in metrics:
            metric.update_reals(batch)
    table: dict[str, dict[str, float]] = {}
    for damage, fakes in make_fakes(count).items():
        table[damage] = {}
        for start in range(0, count, 32):
            batch = fakes[start : start + 32]
            for metric in metrics:
                metric.update_fakes(batch)
        for metric in metrics:
            table[damage] |= metric.compute().values
            metric.clear_fakes()
        print(damage, table[damage], flush=True)
    return table


def print_table(table: dict[str, dict[str, float]]) -> None:
    """Print Markdown."""
    columns = list(next(iter(table.values())))
    print("| damage | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for damage, values in table.items():
        cells = [f"{values[name]:.3f}" if abs(values[name]) < 10 else f"{values[name]:.1f}" for name in columns]
        print(f"| {damage} | " + " | ".join(cells) + " |")


def draw(table: dict[str, dict[str, float]], out: Path) -> None:
    """Draw each value minus that of undamaged fakes, as a share of the largest change of its column."""
    from matplotlib.figure import Figure

    columns = list(next(iter(table.values())))
    values = np.array([[row[name] for name in columns] for row in table.values()])
    change = values[1:] - values[0]
    share = change / np.abs(change).max(axis=0)
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(share, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right")
    axes.set_yticks(range(len(share)), list(table)[1:])
    for row in range(len(share)):
        for column in range(len(columns)):
            text = f"{values[row + 1, column]:.3g}"
            colour = "white" if abs(share[row, column]) > 0.6 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(picture, label="change, share of the column's largest")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=84)
    options = parser.parse_args()
    table = score_all(options.count)
    print_table(table)
    draw(table, options.out)


if __name__ == "__main__":
    main()
