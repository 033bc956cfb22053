"""Measure how the quality score orders real photographs: `python -m benchmarks.rank_evidence --photos DIR`.

DIR holds the unpacked Debian packages of `PACKAGES` (`apt-get download NAME`, `dpkg -x FILE DIR`); without it only
the photographs bundled with scikit-image and matplotlib are used. Writes benchmarks/results/rank.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.cbook
import numpy as np
import skimage.data
from PIL import Image
from scipy.stats import spearmanr

from benchmarks.degrade import (
    DEGRADATIONS,
    Pixels,
    measure_high_frequency_ratio,
    measure_laplacian_variance,
    reduce_resolution,
)
from celebahq_tools.rank.spectrum import score_spectrum

PACKAGES = ("lomiri-wallpapers-16.04=20.04.0-2", "lomiri-wallpapers-20.04=20.04.0-2", "mate-backgrounds=1.26.0-1")
# True photographs of these packages (no renderings), picked by name and size before any of them was scored.
PHOTOS = (
    "Fossa_by_Jasper_Roks",
    "seeding_by_Clements_Engelhardt",
    "aitzgorri_by_Aitzol_Berasategi",
    "Kleiber_by_Lukas_Baubkus",
    "Dragonfly_by_Bolly",
    "friends_by_Aitzol_Berasategi",
    "picosdeeuropa_by_Aitzol_Berasategi",
    "umang_by_Abhishek_Mudgal",
    "Bridge_by_Sander_Klootwijk",
    "sunset_by_Aitzol_Berasategi",
    "Wine_by_Jakkub_Mede",
    "greentock_by_Peter_Nerlich",
    "mate/nature/Wood",
    "mate/nature/LadyBird",
    "mate/nature/YellowFlower",
)
RESOLUTIONS = (512, 362, 256, 181, 128, 90, 64)
MEASURES: dict[str, Callable[[Pixels], float]] = {
    "score Q": lambda pixels: score_spectrum(pixels).value,
    "Laplacian variance": measure_laplacian_variance,
    "high-frequency ratio": measure_high_frequency_ratio,
}


def crop_square(image: Image.Image, size: int) -> Pixels:
    """Return the central square, brought to size x size px."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.convert("RGB").crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def load_bundled() -> dict[str, Image.Image]:
    """Return the bundled photographs; astronaut and hopper show a face."""
    names = {
        "astronaut": skimage.data.astronaut(),
        "chelsea": skimage.data.chelsea(),
        "coffee": skimage.data.coffee(),
        "rocket": skimage.data.rocket(),
        "motorcycle": skimage.data.stereo_motorcycle()[0],
    }
    photos = {name: Image.fromarray(np.asarray(pixels)[..., :3]) for name, pixels in names.items()}
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photos["hopper"] = Image.open(path).convert("RGB")
    return photos


def measure_order(scores: Sequence[float], truth: Sequence[float]) -> float:
    """Return Spearman's rank correlation."""
    return float(spearmanr(scores, truth).statistic)


def measure_pairs(scores: Sequence[float], truth: Sequence[float]) -> float:
    """Return the share of pairs of different truth that the score puts in the right order."""
    s, t = np.asarray(scores), np.asarray(truth)
    first, second = np.nonzero(t[:, None] > t)
    return float(np.mean(s[first] > s[second]))


def report_degradations(photos: dict[str, Pixels]) -> list[str]:
    """Return a table: rank correlation with strength, share of photographs in strict order, AUC clean/degraded."""
    lines = ["| degradation | strengths | measure | rank correlation mean (worst) | strictly falling | AUC |"]
    lines.append("|---|---|---|---|---|---|")
    exceptions: list[str] = []
    for name, (degrade, strengths) in DEGRADATIONS.items():
        versions = {key: [photo, *(degrade(photo, value) for value in strengths)] for key, photo in photos.items()}
        for measure, function in MEASURES.items():
            table = {key: [function(version) for version in series] for key, series in versions.items()}
            rho = [measure_order(row, range(len(row))) for row in table.values()]
            strict = {key: bool(np.all(np.diff(row) < 0)) for key, row in table.items()}
            clean = np.array([row[0] for row in table.values()])
            degraded = np.array([row[1:] for row in table.values()]).ravel()
            auc = float(np.mean(clean[:, None] > degraded))
            lines.append(
                f"| {name} | {', '.join(map(str, strengths))} | {measure} | {np.mean(rho):.3f} ({max(rho):.3f}) "
                f"| {sum(strict.values())} of {len(strict)} | {auc:.3f} |"
            )
            if measure == "score Q":
                exceptions += [
                    f"- {key}, {name}: " + " ".join(f"{value:.3f}" for value in table[key])
                    for key, falling in strict.items()
                    if not falling
                ]
    return [*lines, "", "Not strictly falling (score of the clean photograph, then by rising strength):", *exceptions]


def report_resolution(photos: dict[str, Pixels], faces: Sequence[str]) -> list[str]:
    """Return a table: rank correlation with true resolution per photograph and over all, and the exceptions."""
    lines = [
        "| enlarged by | measure | per photograph: mean, worst | of which >= .98 | pooled | pairs | faces pooled |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    exceptions: list[str] = []
    for resample in (Image.Resampling.LANCZOS, Image.Resampling.BICUBIC):
        versions = {
            key: [reduce_resolution(photo, size, resample) for size in RESOLUTIONS] for key, photo in photos.items()
        }
        for measure, function in MEASURES.items():
            table = {key: [function(version) for version in series] for key, series in versions.items()}
            rho = {key: measure_order(row, RESOLUTIONS) for key, row in table.items()}
            pooled = [value for row in table.values() for value in row]
            truth = list(RESOLUTIONS) * len(table)
            face = [value for key in faces for value in table[key]]
            values = list(rho.values())
            lines.append(
                f"| {resample.name.lower()} | {measure} | {np.mean(values):.3f}, {min(values):.3f} "
                f"| {sum(value >= 0.98 for value in values)} of {len(values)} | {measure_order(pooled, truth):.3f} "
                f"| {measure_pairs(pooled, truth):.3f} | {measure_order(face, list(RESOLUTIONS) * len(faces)):.3f} |"
            )
            if measure == "score Q":
                exceptions += [
                    f"- {key} ({resample.name.lower()}), {rho[key]:.3f}: "
                    + " ".join(f"{value:.3f}" for value in table[key])
                    for key in table
                    if rho[key] < 0.98
                ]
    return [*lines, "", f"Below .98 (score at {', '.join(map(str, RESOLUTIONS))} px):", *exceptions]


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="folder with the unpacked Debian packages")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/rank.md"))
    options = parser.parse_args()
    bundled = load_bundled()
    full = {name: crop_square(image, 1024) for name, image in bundled.items()}
    sharp = {name: crop_square(image, 512) for name, image in bundled.items() if min(image.size) >= 500}
    if options.photos:
        root = options.photos / "usr/share/backgrounds"
        wallpapers = {name: crop_square(Image.open(root / f"{name}.jpg"), 1024) for name in PHOTOS}
        full |= wallpapers
        sharp |= wallpapers
    lines = [
        "# How the score orders real photographs",
        f"`python -m benchmarks.rank_evidence{' --photos DIR' if options.photos else ''}`",
        "",
        f"## Degradations, {len(full)} photographs at 1024x1024",
        *report_degradations(full),
        "",
        f"## True resolution, {len(sharp)} photographs",
        f"Reduced to {', '.join(map(str, RESOLUTIONS))} px (Lanczos, antialiased) and brought back to 1024x1024.",
        "",
        *report_resolution(sharp, ("astronaut", "hopper")),
    ]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
