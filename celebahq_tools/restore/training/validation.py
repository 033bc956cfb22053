"""Measures a net on photographs it was not trained on, always on the same damage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from celebahq_tools.errors import InputError
from celebahq_tools.restore.training.batches import to_batch
from celebahq_tools.restore.training.config import Task
from celebahq_tools.restore.training.degradations import Pair, compress, resize_bicubic
from celebahq_tools.restore.training.photographs import Photograph
from celebahq_tools.types import Pixels

_QUALITIES: dict[Task, tuple[int, ...]] = {"dejpeg": (10, 20, 40, 75), "sr": (50, 75, 90)}
_SIDE = 128
# On the JPEG's grid, which restorers find before the net sees anything.
_OFFSET = 8


@dataclass(frozen=True)
class Condition:
    """One kind of damage with its examples.

    Attributes:
        label: ``q10`` and so on, or ``clean``.
        pairs: Its examples, all of one size.
        baseline: Mean PSNR in dB of doing nothing (``sr``: bicubic).
    """

    label: str
    pairs: tuple[Pair, ...]
    baseline: float


def build_conditions(task: Task, photographs: list[Photograph], scale: int) -> list[Condition]:
    """Return what to measure on: the most detailed 128x128 place of each photograph, at several qualities.

    Args:
        task: Decides the damage: JPEG, or 4x reduction with JPEG.
        photographs: Held-out photographs.
        scale: Output pixels per input pixel.
    Raises:
        InputError: If no photograph is large enough.
    """
    crops = [crop for photo in photographs if (crop := _cut(photo.sizes[0])) is not None]
    if not crops:
        raise InputError(f"no validation photograph has {_SIDE + 16} pixels in both directions")
    qualities: tuple[int | None, ...] = (*_QUALITIES[task], None)
    conditions = []
    for quality in qualities:
        if task == "dejpeg" and quality is None:
            continue
        pairs = tuple(_damage(task, crop, quality, scale) for crop in crops)
        base = [measure_psnr(pair.truth, enlarge(pair.damaged, scale)) for pair in pairs]
        label = "clean" if quality is None else f"q{quality}"
        conditions.append(Condition(label, pairs, float(np.mean(base))))
    return conditions


@torch.inference_mode()
def measure_conditions(net: nn.Module, conditions: list[Condition], device: torch.device) -> dict[str, float]:
    """Return by condition the mean PSNR gained over doing nothing, in dB."""
    gains = {}
    for condition in conditions:
        values = []
        for pair in condition.pairs:
            restored = net(to_batch([pair.damaged]).to(device))[0].mul(255).round().clamp(0, 255).byte()
            values.append(measure_psnr(pair.truth, restored.permute(1, 2, 0).cpu().numpy()))
        gains[condition.label] = float(np.mean(values)) - condition.baseline
    return gains


def measure_psnr(truth: Pixels, image: Pixels) -> float:
    """Return the PSNR of an image in dB, over all pixels and colours; 99 where they are equal."""
    error = float(np.mean((truth.astype(np.float64) - image) ** 2))
    return 10 * math.log10(255**2 / error) if error else 99.0


def enlarge(pixels: Pixels, scale: int) -> Pixels:
    """Return an image enlarged by bicubic interpolation; scale 1 returns it as it is."""
    return pixels if scale == 1 else resize_bicubic(pixels, (pixels.shape[1] * scale, pixels.shape[0] * scale))


def _damage(task: Task, crop: Pixels, quality: int | None, scale: int) -> Pair:
    if task == "dejpeg":
        damaged = compress(crop, quality or 100)
        window = (slice(_OFFSET, _OFFSET + _SIDE), slice(_OFFSET, _OFFSET + _SIDE))
        return Pair(damaged[window], crop[window])
    truth = np.ascontiguousarray(crop[:_SIDE, :_SIDE])
    small = resize_bicubic(truth, (_SIDE // scale, _SIDE // scale))
    return Pair(small if quality is None else compress(small, quality), truth)


def _cut(image: Pixels) -> Pixels | None:
    """Return the most detailed of a grid of places, with eight pixels around it, or None."""
    side = _SIDE + 16
    height, width = image.shape[:2]
    if min(height, width) < side:
        return None
    green = image[:, :, 1].astype(np.float32)
    places = [(top, left) for top in range(0, height - side + 1, side) for left in range(0, width - side + 1, side)]
    top, left = max(places, key=lambda at: float(green[at[0] : at[0] + side, at[1] : at[1] + side].std()))
    return np.ascontiguousarray(image[top : top + side, left : left + side])
