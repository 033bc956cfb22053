"""Scores of several checkpoints: a table for the terminal, and curves against the images shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from celebahq_tools.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ScoredCheckpoint:
    """The scores of one moment of a training.

    Attributes:
        images_shown: Real images the network was trained on by then.
        scores: Values by name; None where a metric gave no finite number.
    """

    images_shown: int
    scores: Mapping[str, float | None]


def format_table(rows: Sequence[ScoredCheckpoint]) -> str:
    """Return the scores as aligned text, a line for each checkpoint."""
    names = _list_names(rows)
    lines = [["kimg", *names]]
    for row in rows:
        values = [row.scores.get(name) for name in names]
        lines.append([f"{row.images_shown / 1000:.1f}", *("-" if v is None else f"{v:.4g}" for v in values)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(names) + 1)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def draw_curves(rows: Sequence[ScoredCheckpoint]) -> Figure:
    """Return a figure with one panel for each metric, its values against thousands of images shown.

    Raises:
        ConfigError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("the plot needs matplotlib; run: pip install matplotlib") from None
    families: dict[str, list[str]] = {}
    for name in _list_names(rows):
        families.setdefault(name.rpartition("_")[0] or name, []).append(name)
    figure = Figure(figsize=(8, max(2.4 * len(families), 2.4)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(max(len(families), 1), sharex=True))
    for panel, (family, names) in zip(panels, families.items(), strict=False):
        for name in names:
            points = [(row.images_shown / 1000, row.scores[name]) for row in rows if _has(row, name)]
            panel.plot(*zip(*points, strict=True), marker=".", label=name)
        panel.set_ylabel(family)
        panel.set_ylim(bottom=0)
        panel.legend(fontsize="small")
    panels[-1].set_xlabel("thousand real images shown")
    return figure


def _list_names(rows: Sequence[ScoredCheckpoint]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.scores if any(_has(other, name) for other in rows)))


def _has(row: ScoredCheckpoint, name: str) -> bool:
    return row.scores.get(name) is not None
