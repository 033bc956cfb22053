"""What `celebahq restore run` and `celebahq restore evaluate` do; imported only then, because it imports torch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from gan_metrics import MetricSettings, SlicedWasserstein
from PIL import Image
from tqdm import tqdm

from celebahq_tools.atomic import write_atomically
from celebahq_tools.build_config import DEFAULT_DEJPEG
from celebahq_tools.errors import ConfigError, InputError, RejectionError, WeightsError
from celebahq_tools.restore import REGISTRIES, Kind, load_restorer
from celebahq_tools.restore.base import Restorer
from celebahq_tools.restore.evaluation import (
    SR_SCALE,
    Bicubic,
    Chain,
    Score,
    compare_restorers,
    cut_crops,
    format_table,
    list_damages,
)
from celebahq_tools.restore.training.config import Task
from celebahq_tools.restore.training.photographs import list_photographs, load_photographs
from celebahq_tools.source.photo import decode_photo, read_photo_file
from celebahq_tools.types import Pixels

_QUALITIES: dict[Task, str] = {"dejpeg": "10,20,40,75,95", "sr": "50,75,90"}


def restore_pictures(
    input: Path, output: Path, *, dejpeg: str | None, sr: str, device: str, precision: str, compile: bool
) -> tuple[int, list[tuple[Path, str]]]:
    """Restore a picture or a folder of them.

    Returns:
        How many were restored, and the others with the reason.
    """
    speed = {"precision": precision, "compile_net": compile}
    restorer: Restorer = Chain(
        load_restorer("dejpeg", dejpeg or DEFAULT_DEJPEG, device=device, **speed),  # type: ignore[arg-type]
        load_restorer("sr", sr, device=device, **speed),  # type: ignore[arg-type]
    )
    single = not input.is_dir()
    paths = list_photographs([input])
    if not paths:
        raise InputError(f"{input}: no pictures in this folder")
    failed: list[tuple[Path, str]] = []
    taken: set[Path] = set()
    for path in tqdm(paths, unit="img", dynamic_ncols=True, disable=single):
        target = output if single else (output / path.relative_to(input)).with_suffix(".png")
        if target in taken:
            failed.append((path, f"another picture became {target} already; rename one"))
            continue
        taken.add(target)
        try:
            pixels = decode_photo(read_photo_file(path)[0])
        except RejectionError as error:
            failed.append((path, str(error)))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        save_picture(restorer.restore(pixels), target)
    return len(paths) - len(failed), failed


def save_picture(pixels: Pixels, path: Path) -> None:
    """Write a picture in the format that its name says, whole or not at all."""
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"{path}: no picture format has this ending; use .png")
    with write_atomically(path) as temporary:
        Image.fromarray(pixels).save(temporary, kind, **({"quality": 95} if kind == "JPEG" else {}))


def evaluate_restorers(
    methods: Sequence[str],
    *,
    task: Task,
    photos: Sequence[Path],
    qualities: str | None,
    side: int,
    per_photo: int,
    downscale: float,
    dejpeg: str,
    device: str,
) -> str:
    """Return the tables of a comparison, as Markdown."""
    try:
        levels = [int(text) for text in (qualities or _QUALITIES[task]).split(",")]
    except ValueError:
        raise ConfigError(f"--qualities {qualities}: must be whole numbers with commas between") from None
    if not all(1 <= level <= 100 for level in levels):
        raise ConfigError(f"--qualities {qualities}: must lie between 1 and 100")
    if side % SR_SCALE:
        raise ConfigError(f"--side {side}: must be a multiple of {SR_SCALE}")
    say = click.echo
    paths = list_photographs(photos)
    photographs = load_photographs(paths, downscale=downscale, min_side=side + 16, say=lambda text: say(text, err=True))
    pieces = cut_crops(photographs, side, per_photo)
    if not pieces:
        raise InputError(f"no photograph has room for a crop of {side} pixels; choose a smaller --side or --downscale")
    restorers = _load_methods(task, methods, dejpeg, device)
    damages = list_damages(task, levels)
    with tqdm(total=len(damages) * len(restorers), unit="set", dynamic_ncols=True) as bar:
        scores = compare_restorers(
            restorers,
            pieces,
            damages,
            side=side,
            set_distance=measure_swd if task == "sr" else None,
            advance=bar.update,
        )
    return _format(task, scores, len(pieces), len(photographs), side)


def measure_swd(truths: Sequence[Pixels], results: Sequence[Pixels]) -> float:
    """Return the mean SWD x1e3 of 7x7 patches over the pyramid's levels."""
    swd = SlicedWasserstein(MetricSettings(floor=False))
    swd.update_reals(np.stack(truths).transpose(0, 3, 1, 2))
    swd.update_fakes(np.stack(results).transpose(0, 3, 1, 2))
    value = float(swd.compute().values["SWDx1e3_avg"])
    swd.close()
    return value


def _load_methods(task: Task, methods: Sequence[str], dejpeg: str, device: str) -> list[Restorer]:
    kind: Kind = task
    restorers: list[Restorer] = [Bicubic(SR_SCALE if task == "sr" else 1)]
    first = load_restorer("dejpeg", dejpeg, device=device)
    for name in methods or [name for name in REGISTRIES[kind] if name not in ("none", "lanczos")]:
        try:
            restorer = load_restorer(kind, name, device=device)
        except WeightsError as error:
            if methods:
                raise
            click.echo(f"left out: {error}", err=True)
            continue
        if restorer.scale != restorers[0].scale:
            raise ConfigError(f"{name}: scale {restorer.scale}, but {task} is compared at {restorers[0].scale}")
        restorers.append(restorer if dejpeg == "none" else Chain(first, restorer))
    return restorers


def _format(task: Task, scores: dict[tuple[str, str], Score], crops: int, photos: int, side: int) -> str:
    parts = [f"{crops} crops of {side}x{side} from {photos} photographs."]
    if task == "dejpeg":
        parts += ["PSNR gained over the JPEG, in dB:", format_table(scores, _gain, 2, signed=True)]
    parts += ["PSNR in dB:", format_table(scores, lambda score, _: score.mean_psnr, 2)]
    parts += ["SSIM:", format_table(scores, lambda score, _: score.mean_ssim, 4)]
    if task == "sr":
        parts += ["SWD x1e3 of 7x7 patches:", format_table(scores, lambda score, _: score.distance or 0.0, 1)]
    parts += ["CPU seconds per output megapixel:"]
    parts += [format_table(scores, lambda score, _: score.seconds / score.megapixels, 2)]
    return "\n\n".join(parts)


def _gain(score: Score, base: Score) -> float:
    return statistics.fmean(after - before for after, before in zip(score.psnr, base.psnr, strict=True))
