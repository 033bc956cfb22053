"""Old score against new, on photographs that were not used for tuning: `python -m benchmarks.rank_gaps --photos DIR`.

DIR holds the unpacked Debian packages, as for `benchmarks.rank_evidence`. The old score is that of the spectrum alone
(`score_spectrum`), the new one is that of a face (`score_face`), which also knows the source's blockiness, the mask of
the photograph and the zoom. Super-resolution rows need the nets and a minute a photograph; `--sr N` does them for N.
Results of a photograph are kept in `--cache`, so that the work can be divided (`--only NAME`).
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.stats import spearmanr

from benchmarks.degrade import DEGRADATIONS, Pixels, reduce_resolution
from benchmarks.rank_evidence import crop_square, load_bundled
from celebahq_tools.align.pad import Padding, pad_with_blur
from celebahq_tools.rank.blockiness import measure_blockiness
from celebahq_tools.rank.quality import score_face
from celebahq_tools.rank.spectrum import score_spectrum
from celebahq_tools.restore import load_restorer

# Weights and limits of the new terms were chosen on these; nothing below is measured on them.
TUNING = (
    "astronaut",
    "chelsea",
    "coffee",
    "motorcycle",
    "Fossa_by_Jasper_Roks",
    "seeding_by_Clements_Engelhardt",
    "aitzgorri_by_Aitzol_Berasategi",
    "friends_by_Aitzol_Berasategi",
    "Bridge_by_Sander_Klootwijk",
    "mate/nature/LadyBird",
    "greentock_by_Peter_Nerlich",
)
TEST = (
    "hopper",
    "rocket",
    "Kleiber_by_Lukas_Baubkus",
    "Dragonfly_by_Bolly",
    "picosdeeuropa_by_Aitzol_Berasategi",
    "umang_by_Abhishek_Mudgal",
    "Wine_by_Jakkub_Mede",
    "sunset_by_Aitzol_Berasategi",
    "mate/nature/Wood",
    "mate/nature/YellowFlower",
)
SIZE = 1024
QUALITIES = (95, 85, 70, 50, 30, 10)
SHARES = (0.95, 0.85, 0.75, 0.65, 0.55, 0.45)
AMOUNTS = (0.3, 0.6, 1.0, 1.5, 2.5, 4.0)
RESOLUTIONS = (512, 362, 256, 181, 128, 90, 64)
# Small, because the net takes 38 seconds per output megapixel: faces of 256 from sources of these sides.
SR_SIZE, SR_SOURCES = 256, (128, 90, 64, 45, 32)

Scores = tuple[float, float]


def sharpen(pixels: Pixels, amount: float, sigma: float) -> Pixels:
    """Unsharp mask."""
    values = pixels.astype(np.float32)
    return np.clip(np.rint(values + amount * (values - cv2.GaussianBlur(values, (0, 0), sigma))), 0, 255).astype(
        np.uint8
    )


def compress(pixels: Pixels, quality: int) -> Pixels:
    """JPEG, as Pillow writes it."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def pad(pixels: Pixels, share: float) -> tuple[Pixels, np.ndarray]:
    """Cut the bottom off and pad it as a build does; also which pixels are photograph."""
    size = len(pixels)
    cut = int(size * share)
    least = round(0.3 * size)
    padding = Padding(least, least, least, max(size - cut + size // 10, least))
    padded = pad_with_blur(np.ascontiguousarray(pixels[:cut]), padding, 0.02 * size)[least:, least:]
    mask = np.zeros((size, size), np.bool_)
    mask[:cut] = True
    return np.ascontiguousarray(padded[:size, :size]), mask


def score_both(pixels: Pixels, **known: object) -> Scores:
    """Return the old and the new score."""
    return score_spectrum(pixels).value, score_face(pixels, **known).value  # type: ignore[arg-type]


def measure_photo(photo: Pixels) -> dict[str, list[Scores]]:
    """Return both scores of the clean photograph ("clean") and of every degradation by rising strength."""
    # Some photographs were JPEG files before: their own blocks count where blocks are compared, and only there.
    series = {
        "clean": [score_both(photo)],
        "clean with its blocks": [score_both(photo, blockiness=measure_blockiness(photo))],
    }
    for name, (degrade, strengths) in DEGRADATIONS.items():
        series[name] = [score_both(degrade(photo, strength)) for strength in strengths]
    series["JPEG of the source"] = [
        score_both(pixels, blockiness=measure_blockiness(pixels))
        for pixels in (compress(photo, quality) for quality in QUALITIES)
    ]
    small = np.asarray(Image.fromarray(photo).resize((SIZE // 4, SIZE // 4), Image.Resampling.LANCZOS))
    series["JPEG of a source of 256"] = []
    for quality in (100, *QUALITIES):
        source = small if quality == 100 else compress(small, quality)
        large = np.asarray(Image.fromarray(source).resize((SIZE, SIZE), Image.Resampling.LANCZOS))
        series["JPEG of a source of 256"].append(score_both(large, zoom=4.0, blockiness=measure_blockiness(source)))
    for sigma in (1.0, 2.0):
        series[f"sharpening, {sigma:g} px"] = [score_both(sharpen(photo, amount, sigma)) for amount in AMOUNTS]
    series["padding"] = [score_both(padded, photo=mask) for padded, mask in (pad(photo, share) for share in SHARES)]
    series["resolution"] = [score_both(reduce_resolution(photo, side), zoom=SIZE / side) for side in RESOLUTIONS]
    return series


def measure_superres(photo: Pixels) -> dict[str, list[Scores]]:
    """Return both scores of a face of 256 pixels from ever smaller sources, enlarged by the net and by Lanczos."""
    net = load_restorer("sr", "realsr-df2k", device="cpu")
    full = Image.fromarray(photo).resize((SR_SIZE, SR_SIZE), Image.Resampling.LANCZOS)
    series: dict[str, list[Scores]] = {"SR net": [], "Lanczos": []}
    for side in SR_SOURCES:
        source = np.asarray(full.resize((side, side), Image.Resampling.LANCZOS))
        outputs: dict[str, Callable[[], Image.Image]] = {
            "SR net": lambda source=source: Image.fromarray(net.restore(source)),  # type: ignore[misc]
            "Lanczos": lambda source=source, side=side: Image.fromarray(source).resize(  # type: ignore[misc]
                (4 * side, 4 * side), Image.Resampling.LANCZOS
            ),
        }
        for name, enlarge in outputs.items():
            face = np.asarray(enlarge().resize((SR_SIZE, SR_SIZE), Image.Resampling.LANCZOS))
            series[name].append(score_both(face, zoom=SR_SIZE / side))
    return series


def summarise(table: dict[str, dict[str, list[Scores]]], row: str, which: int, *, with_clean: bool) -> str:
    """Return rank correlation with strength (mean, worst), photographs that fall at every step, AUC against clean."""
    rho, falling, clean, degraded = [], 0, [], []
    for series in table.values():
        if row not in series:
            continue
        values = [scores[which] for scores in series[row]]
        clean_row = "clean with its blocks" if row == "JPEG of the source" else "clean"
        first = [series[clean_row][0][which]] if with_clean else []
        rho.append(float(spearmanr([*first, *values], range(len(values) + len(first))).statistic))
        falling += bool(np.all(np.diff([*first, *values]) < 0))
        clean += first or values[:1]
        degraded += values if with_clean else values[1:]
    auc = float(np.mean(np.array(clean)[:, None] > np.array(degraded)))
    return f"{np.mean(rho):.3f} ({max(rho):.3f}), {falling} of {len(rho)}, {auc:.3f}"


def report(table: dict[str, dict[str, list[Scores]]]) -> list[str]:
    """Return the table of all rows."""
    lines = ["| degradation | old score | new score |", "|---|---|---|"]
    rows = [row for series in table.values() for row in series if not row.startswith("clean")]
    for row in dict.fromkeys(rows):
        # Where every version is enlarged or small there is no clean one to compare with: the first is the best.
        with_clean = row not in ("resolution", "SR net", "Lanczos", "JPEG of a source of 256")
        old, new = (summarise(table, row, which, with_clean=with_clean) for which in (0, 1))
        lines.append(f"| {row} | {old} | {new} |")
    return lines


def main() -> None:
    """Measure what the cache lacks and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder with the unpacked Debian packages")
    parser.add_argument("--cache", type=Path, required=True, help="folder of results by photograph")
    parser.add_argument("--only", help="measure this photograph and write no table")
    parser.add_argument("--sr", type=int, default=0, help="photographs to run the super-resolution net on")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/rank_gaps.md"))
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    bundled = load_bundled()
    table = {}
    for number, name in enumerate(TEST):
        if options.only not in (None, name):
            continue
        path = options.cache / f"{Path(name).name}.json"
        series = json.loads(path.read_text()) if path.exists() else {}
        image = bundled[name] if name in bundled else Image.open(options.photos / f"usr/share/backgrounds/{name}.jpg")
        if not series:
            series = measure_photo(crop_square(image, SIZE))
        if number < options.sr and "SR net" not in series:
            series |= measure_superres(crop_square(image, SIZE))
        path.write_text(json.dumps(series))
        table[name] = series
    if options.only:
        return
    lines = [
        "# What the new terms of the score change",
        "",
        "    python -m benchmarks.rank_gaps --photos DIR --cache CACHE --sr N",
        "",
        f"{len(table)} photographs that nothing was tuned on: {', '.join(Path(name).name for name in table)}.",
        f"Tuned on: {', '.join(Path(name).name for name in TUNING)}.",
        "",
        "Rank correlation of score and strength, mean and worst (-1: falls with every step); photographs that fall at",
        "every single step; ROC-AUC of clean against degraded across contents (where every version is enlarged: of the",
        "mildest against the rest).",
        "",
        *report(table),
    ]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
