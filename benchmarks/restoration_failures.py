"""Shows where a restoration net does worst: the crops on which it gains least over doing nothing, or over bicubic.

python -m benchmarks.restoration_failures rednet-l --task dejpeg --photos photos/held-out --out worst.jpg
python -m benchmarks.restoration_failures srres-m --task sr --photos photos/held-out/scikit-image_* --out worst.jpg

One row a crop, the worst first, with its gain in dB; columns: the JPEG (or the small JPEG enlarged by bicubic), the
net's result, the truth, and ``--beside``'s results. One crop a photograph, at its most detailed place.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.picture_sheet import save_sheet
from celebahq_tools.restore import load_restorer
from celebahq_tools.restore.evaluation import Bicubic, Damage, cut_crops
from celebahq_tools.restore.srnet import SCALE
from celebahq_tools.restore.training.photographs import list_photographs, load_photographs
from celebahq_tools.restore.training.validation import measure_psnr
from celebahq_tools.types import Pixels

SHOWN = 4
SHOWN_SIDE = 256


def main() -> None:
    """Restore all crops, print the gains, draw the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", help="name or weight file")
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders or files")
    parser.add_argument("--task", choices=["dejpeg", "sr"], required=True)
    parser.add_argument("--beside", nargs="*", default=[], help="other nets to show, not to choose by")
    parser.add_argument("--quality", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    scale = SCALE if options.task == "sr" else 1
    damage = Damage(f"q{options.quality}", options.quality, reduction=scale)
    before = Bicubic(scale)
    restorers = [load_restorer(options.task, name, device="cpu") for name in (options.net, *options.beside)]
    found: list[tuple[float, str, list[Pixels]]] = []
    for photograph in load_photographs(list_photographs(options.photos), downscale=1, min_side=SHOWN_SIDE + 16):
        for piece in cut_crops([photograph], SHOWN_SIDE, 1):
            damaged, truth = damage.apply(piece, SHOWN_SIDE)
            plain = before.restore(damaged)
            results = [restorer.restore(damaged) for restorer in restorers]
            gain = measure_psnr(truth, results[0]) - measure_psnr(truth, plain)
            found.append((gain, photograph.path.name, [plain, results[0], truth, *results[1:]]))
            print(f"{gain:+.2f} dB  {photograph.path.name}", flush=True)
    found.sort(key=lambda item: item[0])
    titles = [f"{before.name} q{options.quality}", options.net, "truth", *options.beside]
    worst = found[:SHOWN]
    captions = [f"{gain:+.2f} dB  {name}" for gain, name, _ in worst]
    save_sheet(titles, [pictures for *_, pictures in worst], options.out, side=SHOWN_SIDE, captions=captions)


if __name__ == "__main__":
    main()
