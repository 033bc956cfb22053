"""Plots for pages: matplotlib drawings, as SVG in the page's own colours, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib knows no CSS variables: it draws in these colours, which nothing else uses, and they are replaced.
INK, MUTED, LINE, CARD = "#010101", "#020202", "#030303", "#040404"
SERIES = ("#050501", "#050502", "#050503", "#050504", "#050505", "#050506")
GOOD, BAD = "#060601", "#060602"
_VARIABLES = {INK: "--ink", MUTED: "--muted", LINE: "--line", CARD: "--card", GOOD: "--good", BAD: "--bad"} | {
    color: f"--series-{number}" for number, color in enumerate(SERIES, start=1)
}


def start_plot(
    *,
    width: float = 5.0,
    height: float = 2.3,
    columns: int = 1,
    rows: int = 1,
    margins: tuple[float, float, float, float] | None = None,
) -> tuple[Figure, Any]:
    """Return a matplotlib figure and its axes, styled for a page.

    Args:
        width, height: Inches; on the page a plot is as wide as its place, so this sets proportions and text size.
        columns, rows: Number of axes; with one, the axes themselves are returned, else an array of them.
        margins: Left, bottom, right and top edge of the axes as shares of the figure, for many plots alike; fitted to
            the text, which takes longer, when omitted.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"axes.edgecolor": LINE, "text.color": INK, "font.size": 9}):
        figure = Figure(figsize=(width, height), layout=None if margins else "constrained")
        axes = figure.subplots(rows, columns)
        if margins:
            figure.subplots_adjust(*margins)
    for one in [axes] if rows * columns == 1 else axes.ravel():
        style_axes(one)
    return figure, axes


def style_axes(axes: Axes) -> None:
    """Give axes the page's colours: quiet lines, no box, a grid to read values by."""
    axes.set_facecolor("none")
    axes.tick_params(colors=MUTED, labelcolor=MUTED, length=3)
    axes.grid(True, color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    axes.title.set_color(INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)


def add_legend(axes: Axes, **options: Any) -> None:
    """Add a legend in the page's colours; options as matplotlib's."""
    axes.legend(frameon=False, labelcolor=INK, fontsize=8, **options)


def finish_plot(figure: Figure, *, name: str, alt: str) -> Markup:
    """Return a figure as inline SVG whose colours follow the page.

    Args:
        figure: Made by :func:`start_plot`; draw in this module's colours.
        name: Unique on the page; identifiers inside the drawing begin with it.
        alt: What the plot shows, for those who cannot see it.
    """
    import matplotlib

    stream = io.StringIO()
    # Text stays text: it can be selected and searched, and takes the page's font.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{_make_identifier(name)}-", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return Markup(svg.replace("<svg", f'<svg class="plot" role="img" aria-label="{escape(alt)}"', 1))  # noqa: S704


def draw_histogram(
    values: Sequence[float],
    *,
    name: str,
    alt: str,
    label: str,
    bins: int = 40,
    mark: float | None = None,
    mark_label: str = "",
    span: tuple[float, float] | None = None,
) -> Markup:
    """Return a histogram; with a mark, what lies below it is drawn pale.

    Args:
        values: Finite numbers, at least one.
        name, alt: As for :func:`finish_plot`.
        label: Of the horizontal axis, with the unit.
        bins: Number of bars.
        mark: Where a vertical line is drawn, such as a threshold.
        mark_label: What the line means.
        span: Ends of the axis; the values' own when omitted.
    """
    import numpy as np

    figure, axes = start_plot()
    counts, edges = np.histogram(np.asarray(values, dtype=np.float64), bins=bins, range=span)
    centres, widths = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    axes.bar(centres, counts, widths * 0.92, color=SERIES[0])
    if mark is not None and np.isfinite(mark):
        for bar, centre in zip(axes.patches, centres, strict=True):
            bar.set_alpha(1.0 if centre >= mark else 0.35)
        axes.axvline(mark, color=BAD, linewidth=1.4)
        axes.annotate(
            mark_label, (mark, 1), (4, -10), xycoords=("data", "axes fraction"), textcoords="offset points", color=BAD
        )
    axes.grid(False, axis="x")
    axes.set_xlabel(label)
    axes.yaxis.get_major_locator().set_params(integer=True)
    return finish_plot(figure, name=name, alt=alt)


def _make_identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", name)
