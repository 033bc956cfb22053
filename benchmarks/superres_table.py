"""Compares 4x nets on held-out faces and photographs, with and without JPEG, and draws them side by side.

python -m benchmarks.superres_table --photos photos/held-out realsr-df2k srres-m
python -m benchmarks.superres_table --photos photos/held-out --dejpeg jpeg-resnet realsr-df2k srres-m

PSNR, SSIM and the spectral score are means; SWD is that of `swd score` between the sets of truths and of results, over
its levels. Nothing here was used in training.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np
import torch
from celebahq_cli.celebahq_restore_run import measure_swd
from PIL import Image

from benchmarks.picture_sheet import save_sheet
from celebahq_tools.rank.spectrum import score_spectrum
from celebahq_tools.restore import load_restorer
from celebahq_tools.restore.base import Restorer
from celebahq_tools.restore.evaluation import SR_SCALE, Bicubic, Chain, compare_restorers, cut_crops, list_damages
from celebahq_tools.restore.training.photographs import list_photographs, load_photographs
from celebahq_tools.source.samples import PORTRAITS
from celebahq_tools.types import Pixels

SIDE = 128
ROOM = 16
# Side of the faces cut out, in distances between the eyes.
FACE = 4.0


def cut_faces() -> list[Pixels]:
    """Return the public-domain portraits' faces, each at two sizes, with the room that crops have."""
    faces = []
    for portrait in PORTRAITS.values():
        eyes = portrait.landmarks[:2]
        centre, half = portrait.landmarks[:3].mean(axis=0), FACE * float(np.linalg.norm(eyes[1] - eyes[0])) / 2
        for reach in (half, 1.5 * half):
            box = (*(centre - reach), *(centre + reach))
            face = portrait.load().convert("RGB").crop(tuple(round(edge) for edge in box))
            if face.width >= SIDE + ROOM:
                faces.append(np.asarray(face.resize((SIDE + ROOM, SIDE + ROOM), Image.Resampling.BOX)))
    return faces


class Spectrum:
    """Adds to a comparison the mean spectral score of the results."""

    def __init__(self) -> None:
        self.scores: list[float] = []

    def __call__(self, truths: list[Pixels], results: list[Pixels]) -> float:
        """Return the SWD and remember the score."""
        self.scores.append(statistics.fmean(score_spectrum(image).value for image in results))
        return measure_swd(truths, results)


def draw(pieces: list[Pixels], restorers: list[Restorer], quality: int, path: Path) -> None:
    """Save crops side by side: one row per crop, one column per method, the truth last."""
    damage = next(found for found in list_damages("sr", [quality]) if found.quality == quality)
    rows = []
    for piece in pieces:
        damaged, truth = damage.apply(piece, SIDE)
        rows.append([*(restorer.restore(damaged) for restorer in restorers), truth])
    save_sheet([*(restorer.name for restorer in restorers), "truth"], rows, path, side=2 * SIDE)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--dejpeg", default="none")
    parser.add_argument("--qualities", type=int, nargs="+", default=[50, 75, 90])
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = load_photographs(list_photographs([arguments.photos]), downscale=1, min_side=SIDE + ROOM)
    pieces = [*cut_faces(), *cut_crops(found, SIDE, 1)]
    first = load_restorer("dejpeg", arguments.dejpeg, device="cpu")
    restorers: list[Restorer] = [Bicubic(SR_SCALE)]
    for name in arguments.methods:
        second = load_restorer("sr", name, device="cpu")
        restorers.append(second if arguments.dejpeg == "none" else Chain(first, second))
    print(f"{len(pieces)} crops of {SIDE}x{SIDE}, of which {len(cut_faces())} are faces\n")
    spectrum = Spectrum()
    damages = list_damages("sr", arguments.qualities)
    scores = compare_restorers(restorers, pieces, damages, side=SIDE, set_distance=spectrum)
    print("| input | method | PSNR | SSIM | SWD x1e3 | spectral score | CPU-s per output MP |")
    print("|---|---|---|---|---|---|---|")
    for ((label, name), score), sharpness in zip(scores.items(), spectrum.scores, strict=True):
        seconds = score.seconds / score.megapixels
        print(
            f"| {label} | {name} | {score.mean_psnr:.2f} | {score.mean_ssim:.4f} | {score.distance:.1f} "
            f"| {sharpness:.3f} | {seconds:.1f} |",
            flush=True,
        )
    if arguments.picture is not None:
        draw([pieces[0], pieces[2], pieces[-1]], restorers, 75, arguments.picture)


if __name__ == "__main__":
    main()
