"""Plots of the page of a score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from celebahq_tools.pages.plots import BAD, INK, SERIES, add_legend, finish_plot, start_plot
from gan_metrics.base import METRICS, MetricResult
from gan_metrics.projection_views import LevelProjections, ProjectedSets


def strip_level(name: str) -> str:
    """Return the level of a value of SWD, or another value's name."""
    level = name.removeprefix("SWDx1e3_")
    return "average" if level == "avg" else level


def draw_values(result: MetricResult, earlier: Mapping[str, Any] | None = None) -> Markup:
    """Return bars of a metric's values with their standard errors, the floor, and the earlier values as rings."""
    names = list(result.values)
    figure, axes = start_plot(width=6.4, height=max(1.6, 0.7 + 0.34 * len(names)))
    places = np.arange(len(names))
    errors = [
        math.hypot(*(error for key, error in result.errors.items() if key.startswith(f"{name}_se"))) for name in names
    ]
    style = {"ecolor": INK, "elinewidth": 1.2, "capsize": 2.5}
    axes.barh(
        places, [result.values[name] for name in names], xerr=errors, color=SERIES[0], height=0.62, error_kw=style
    )
    floors = [(place, result.floor[name]) for place, name in enumerate(names) if name in result.floor]
    if floors:
        rows, found = zip(*floors, strict=True)
        low, high = np.array(rows) - 0.38, np.array(rows) + 0.38
        label = METRICS.load(result.metric).floor_title
        axes.vlines(found, low, high, color=BAD, linewidth=2.2, label=label)
    then = [(place, (earlier or {}).get(name)) for place, name in enumerate(names)]
    known = [(value, place) for place, value in then if isinstance(value, (int, float)) and math.isfinite(value)]
    if known:
        axes.plot(*zip(*known, strict=True), "o", markersize=7, fillstyle="none", color=SERIES[1], label="earlier")
    if floors or known:
        add_legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    axes.set_yticks(places, [strip_level(name) for name in names])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    said = ", ".join(f"{strip_level(name)} {result.values[name]:.4g}" for name in names)
    return finish_plot(figure, name=f"values-{result.metric}", alt=f"{result.metric}: {said}")


def draw_distances(level: LevelProjections, floor: float | None) -> Markup:
    """Return a histogram of the distances along all directions of a level, with their mean and the floor."""
    figure, axes = start_plot(width=4.6, height=2.4)
    mean = float(level.distances.mean())
    axes.hist(level.distances, bins=40, color=SERIES[0])
    axes.axvline(mean, color=INK, linewidth=1.6, label=f"mean {mean:.1f}")
    if floor is not None:
        axes.axvline(floor, color=BAD, linewidth=1.6, label=f"floor {floor:.1f}")
    axes.set_xlim(left=0)
    axes.set_xlabel("distance x1e3")
    axes.set_ylabel("directions")
    axes.grid(False, axis="x")
    add_legend(axes)
    alt = f"Distances along {len(level.distances)} directions at level {level.level}: mean {mean:.4g}"
    return finish_plot(figure, name=f"distances-{level.level}", alt=alt)


def draw_projection(sets: ProjectedSets, *, name: str, level: str) -> Markup:
    """Return both sets along one direction, as two histograms over one another."""
    figure, axes = start_plot(width=4.6, height=2.4)
    axes.stairs(sets.reals, sets.edges, fill=True, color=SERIES[0], alpha=0.35)
    axes.stairs(sets.reals, sets.edges, color=SERIES[0], linewidth=1.4, label="reals")
    axes.stairs(sets.fakes, sets.edges, color=SERIES[1], linewidth=1.4, label="fakes")
    axes.set_yticks([])
    axes.set_xlabel("component along the direction")
    add_legend(axes)
    centres = (sets.edges[:-1] + sets.edges[1:]) / 2
    means = [float(centres @ share) for share in (sets.reals, sets.fakes)]
    spreads = [
        math.sqrt(float(np.square(centres - mean) @ share))
        for mean, share in zip(means, (sets.reals, sets.fakes), strict=True)
    ]
    alt = (
        f"Level {level}, direction of {sets.label}: reals spread by {spreads[0]:.3g} around {means[0]:.3g}, "
        f"fakes by {spreads[1]:.3g} around {means[1]:.3g}"
    )
    return finish_plot(figure, name=name, alt=alt)
