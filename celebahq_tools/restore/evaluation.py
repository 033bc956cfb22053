"""Compares restorers on photographs whose truth is known: PSNR, SSIM and CPU time by kind of damage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from skimage.metrics import structural_similarity

from celebahq_tools.errors import ConfigError
from celebahq_tools.restore.base import Restorer
from celebahq_tools.restore.training.degradations import compress, resize_bicubic
from celebahq_tools.restore.training.photographs import Photograph
from celebahq_tools.restore.training.validation import measure_psnr
from celebahq_tools.types import Pixels

SR_SCALE = 4
# Where crops start on the 8x8 grid of the JPEG they are cut from: on it, and off it in both directions.
GRIDS = {"": (0, 0), " shifted": (3, 5)}
_GRID = 16
CLEAN = "clean"

# Distance between the sets of truths and of results, for measures that compare sets.
SetDistance = Callable[[Sequence[Pixels], Sequence[Pixels]], float]


@dataclass(frozen=True)
class Damage:
    """One kind of damage.

    Attributes:
        label: For tables, such as ``q10 shifted``.
        quality: JPEG quality with 4:2:0 colour; None for no JPEG.
        offset: Place of the crop on the JPEG's grid, (rows, columns).
        reduction: How many times smaller the damaged image is.
    """

    label: str
    quality: int | None
    offset: tuple[int, int] = (0, 0)
    reduction: int = 1

    def apply(self, piece: Pixels, side: int) -> tuple[Pixels, Pixels]:
        """Return the damaged image and its truth.

        Args:
            piece: Clean, at least 16 pixels higher and wider than ``side``.
            side: Height and width of the truth.
        """
        if self.reduction > 1:
            truth = np.ascontiguousarray(piece[:side, :side])
            small = resize_bicubic(truth, (side // self.reduction, side // self.reduction))
            return small if self.quality is None else compress(small, self.quality), truth
        whole = piece if self.quality is None else compress(piece, self.quality)
        top, left = self.offset
        window = (slice(top, top + side), slice(left, left + side))
        return np.ascontiguousarray(whole[window]), np.ascontiguousarray(piece[window])


@dataclass
class Score:
    """What one method made of one kind of damage, over all crops.

    Attributes:
        psnr, ssim: Per crop; PSNR in dB.
        seconds: CPU seconds in all.
        megapixels: Output megapixels in all.
        distance: Between the sets of truths and of results, if that was measured.
    """

    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    seconds: float = 0.0
    megapixels: float = 0.0
    distance: float | None = None

    @property
    def mean_psnr(self) -> float:
        """Mean PSNR in dB."""
        return fmean(self.psnr)

    @property
    def mean_ssim(self) -> float:
        """Mean SSIM."""
        return fmean(self.ssim)


class Bicubic:
    """What super-resolution is compared with; for JPEG removal, doing nothing.

    Args:
        scale: 1 returns the image as it is.
    """

    def __init__(self, scale: int) -> None:
        self.name = "bicubic" if scale > 1 else "JPEG"
        self.scale = scale
        self.halo = 0
        self.licence = "Apache-2.0"

    def restore(self, pixels: Pixels) -> Pixels:
        """Return the enlarged image."""
        return resize_bicubic(pixels, (pixels.shape[1] * self.scale, pixels.shape[0] * self.scale))


class Chain:
    """One restorer after another, as in a build: JPEG removal, then super-resolution."""

    def __init__(self, first: Restorer, second: Restorer) -> None:
        if first.scale != 1:
            raise ConfigError(f"{first.name!r} enlarges; the first restorer of a chain must not")
        self.first, self.second = first, second
        self.name = f"{first.name} + {second.name}"
        self.scale = second.scale
        self.halo = first.halo + second.halo
        self.licence = f"{first.licence}; {second.licence}"

    def restore(self, pixels: Pixels) -> Pixels:
        """Return what the second makes of what the first makes."""
        return self.second.restore(self.first.restore(pixels))


def list_damages(task: str, qualities: Iterable[int]) -> list[Damage]:
    """Return the kinds of damage of a task: every quality, and clean; for ``dejpeg`` on two grids."""
    if task == "sr":
        jpegs = [Damage(f"q{quality}", quality, reduction=SR_SCALE) for quality in qualities]
        return [Damage(CLEAN, None, reduction=SR_SCALE), *jpegs]
    found = [Damage(f"q{quality}{grid}", quality, offset) for grid, offset in GRIDS.items() for quality in qualities]
    return [*found, Damage(CLEAN, None)]


def cut_crops(photographs: Iterable[Photograph], side: int, per_photo: int) -> list[Pixels]:
    """Return the most detailed places of photographs, with 16 pixels more for shifts; small photographs are left out.

    Args:
        photographs: At their largest size.
        side: Side of the crops.
        per_photo: Most crops from one photograph; they do not overlap.
    """
    length = side + _GRID
    crops = []
    for photo in photographs:
        image = photo.sizes[0]
        green = image[:, :, 1].astype(np.float32)
        places = [
            (float(green[top : top + length, left : left + length].std()), top, left)
            for top in range(0, image.shape[0] - length + 1, length)
            for left in range(0, image.shape[1] - length + 1, length)
        ]
        for _, top, left in sorted(places, reverse=True)[:per_photo]:
            crops.append(np.ascontiguousarray(image[top : top + length, left : left + length]))
    return crops


def compare_restorers(
    restorers: Sequence[Restorer],
    pieces: Sequence[Pixels],
    damages: Sequence[Damage],
    *,
    side: int,
    set_distance: SetDistance | None = None,
    advance: Callable[[], object] = lambda: None,
) -> dict[tuple[str, str], Score]:
    """Return scores by (damage label, method name).

    Args:
        restorers: Methods; all of the damage's scale.
        pieces: Clean crops, at least 16 pixels larger than ``side``.
        damages: Kinds of damage.
        side: Side of the truth.
        set_distance: Compares the set of truths with the set of results.
        advance: Called after every method and damage.
    """
    scores: dict[tuple[str, str], Score] = {}
    for damage in damages:
        pairs = [damage.apply(piece, side) for piece in pieces]
        for restorer in restorers:
            score, results = Score(), []
            for damaged, truth in pairs:
                started = time.process_time()
                result = restorer.restore(damaged)
                score.seconds += time.process_time() - started
                score.megapixels += result.shape[0] * result.shape[1] / 1e6
                score.psnr.append(measure_psnr(truth, result))
                similarity = structural_similarity(truth, result, channel_axis=2)  # type: ignore[no-untyped-call]
                score.ssim.append(float(similarity))
                results.append(result)
            if set_distance is not None:
                score.distance = set_distance([truth for _, truth in pairs], results)
            scores[damage.label, restorer.name] = score
            advance()
    return scores


def format_table(
    scores: Mapping[tuple[str, str], Score],
    value: Callable[[Score, Score], float],
    digits: int,
    *,
    signed: bool = False,
) -> str:
    """Return a Markdown table: one row per method, one column per damage.

    Args:
        scores: From :func:`compare_restorers`; the first method is the baseline.
        value: What to print, from a score and the baseline's score of the same damage.
        digits: Decimals.
        signed: Whether to print a plus sign.
    """
    labels = list(dict.fromkeys(label for label, _ in scores))
    names = list(dict.fromkeys(name for _, name in scores))
    lines = ["| method | " + " | ".join(labels) + " |", "|---|" + "---|" * len(labels)]
    for name in names:
        cells = [value(scores[label, name], scores[label, names[0]]) for label in labels]
        lines.append(f"| {name} | " + " | ".join(f"{cell:{'+' if signed else ''}.{digits}f}" for cell in cells) + " |")
    return "\n".join(lines)
