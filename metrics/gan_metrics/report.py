"""Show results: a table for the terminal, plain types for JSON, a figure, and the picture of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ConfigError
from gan_metrics.base import METRICS, MetricResult
from gan_metrics.descriptors import SIDE, draw_centres, hash_image
from gan_metrics.pyramid import decompose_image, list_level_sizes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUFFIXES = {"_se_directions": "se directions", "_se_images": "se images", "_se": "se"}
_GAP = 8


def format_results(results: Sequence[MetricResult]) -> str:
    """Return the results as aligned text, each metric with its number of images, floor, errors and notes."""
    blocks = []
    for result in results:
        present = [suffix for suffix in _SUFFIXES if any(name + suffix in result.errors for name in result.values)]
        header = [METRICS.load(result.metric).title, "value"]
        header += [METRICS.load(result.metric).floor_title] if result.floor else []
        header += [_SUFFIXES[suffix] for suffix in present]
        rows = [header]
        for name, value in result.values.items():
            row = [f"  {name}", _format(value)]
            row += [_format(result.floor.get(name))] if result.floor else []
            rows.append(row + [_format(result.errors.get(name + suffix)) for suffix in present])
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) if not at else cell.rjust(width) for at, (cell, width) in enumerate(pairs))
            for pairs in (list(zip(row, widths, strict=True)) for row in rows)
        ]
        reals = result.details.get("num_reals", result.num_images)
        equal = reals == result.num_images
        lines.append(f"  {result.num_images} " + ("images per set" if equal else f"fakes against {reals} reals"))
        if result.floor:
            lines[-1] += f"; {header[2]} from sets of {result.floor_num_images}"
        lines += [f"  note: {note}" for note in result.notes]
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks)


def draw_results(results: Sequence[MetricResult]) -> Figure:
    """Return a figure with one panel of bars per metric; floors as lines and standard errors as whiskers.

    Raises:
        ConfigError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("--plot needs matplotlib; run: pip install matplotlib") from None
    if not results:
        return Figure()
    figure = Figure(figsize=(max(4.0, 3.6 * len(results)), 4.2), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for panel, result in zip(panels, results, strict=True):
        names = list(result.values)
        errors = [_total_error(result, name) for name in names]
        places = np.arange(len(names))
        panel.bar(places, list(result.values.values()), yerr=errors, capsize=3, color="#4477aa", width=0.7)
        for place, name in zip(places, names, strict=True):
            if name in result.floor:
                panel.hlines(result.floor[name], place - 0.42, place + 0.42, color="#cc3311", linewidth=2)
        panel.set_xticks(places, [name.rsplit("_", 1)[-1] for name in names], rotation=45, ha="right")
        floor = f"\nred: reals alone, {result.floor_num_images} images" if result.floor else ""
        panel.set_title(f"{METRICS.load(result.metric).title}\n{result.num_images} images{floor}", fontsize=9)
    return figure


def draw_pyramid(image: NDArray[np.uint8], *, seed: int = 0, count: int = 128) -> NDArray[np.uint8]:
    """Return a picture of an image, its Laplacian levels, and the 7x7 neighbourhoods the distance would look at.

    Detail levels are shown around middle grey with their contrast doubled.

    Args:
        image: (3, H, W) uint8 RGB.
        seed: As for the score: the neighbourhoods drawn are the ones it uses.
        count: How many neighbourhoods to draw per level.
    Returns:
        (h, w, 3) uint8, the levels side by side, largest first.
    Raises:
        ShapeError: If the image is smaller than 16 pixels on a side.
    """
    sizes = list_level_sizes(*image.shape[1:])
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
    levels = decompose_image(pixels)
    centres = draw_centres(hash_image(image), seed, sizes)
    shown = [np.clip(np.rint(level * 2 + 128), 0, 255).astype(np.uint8) for level in levels[:-1]]
    shown.append(np.clip(np.rint(levels[-1]), 0, 255).astype(np.uint8))
    for picture, places in zip(shown, centres, strict=True):
        for row, column in places[:count]:
            _outline(picture, int(row) - SIDE // 2, int(column) - SIDE // 2)
    panels = [pixels, *shown]
    canvas = np.full((pixels.shape[0], sum(panel.shape[1] + _GAP for panel in panels) - _GAP, 3), 255, dtype=np.uint8)
    left = 0
    for panel in panels:
        canvas[: panel.shape[0], left : left + panel.shape[1]] = panel
        left += panel.shape[1] + _GAP
    return canvas


def _outline(picture: NDArray[np.uint8], top: int, left: int) -> None:
    colour = (255, 220, 0)
    picture[top, left : left + SIDE] = picture[top + SIDE - 1, left : left + SIDE] = colour
    picture[top : top + SIDE, left] = picture[top : top + SIDE, left + SIDE - 1] = colour


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if abs(value) < 1 else f"{value:.3f}"


def _total_error(result: MetricResult, name: str) -> float:
    return float(np.hypot.reduce([result.errors.get(name + suffix, 0.0) for suffix in _SUFFIXES]))
