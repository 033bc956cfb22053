"""Curves of a run for its page: scores, losses and speed against images shown, with a band per phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from celebahq_tools.pages.plots import INK, MUTED, SERIES, add_legend, finish_plot, start_plot
from pggan_core.run_record import Phase, RunRecord, is_number, list_phases

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A curve that spans more than this is drawn on a logarithmic axis, or its end could not be read.
_LOG_SPAN = 12
_KEYS = {"event", "images"}


@dataclass(frozen=True)
class ScoreGroup:
    """Scores that share an axis.

    Attributes:
        name: For identifiers: letters, digits and dashes.
        title: What the axis shows.
        keys: Names in the log, in the order of the legend.
        better: Which way is better, for the reader.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    better: str


# (name, title, which way is better, beginnings of the names in the log)
_GROUPS = (
    ("swd", "Sliced Wasserstein distance x1e3", "lower is better", ("SWDx1e3_",)),
    ("fid", "FID", "lower is better", ("fid",)),
    ("kid", "KID", "lower is better", ("kid",)),
    ("ms-ssim", "MS-SSIM of pairs of fakes", "lower is more varied; compare with the reals' own", ("ms_ssim",)),
    ("is", "Inception Score", "higher is better", ("is", "inception")),
    ("prdc", "Precision and recall", "higher is better", ("precision", "recall", "density", "coverage")),
    ("modes", "Modes of 1000", "higher is better", ("modes",)),
    ("kl", "KL from uniform, nats", "lower is better", ("kl",)),
)


def group_scores(scores: Sequence[Mapping[str, Any]]) -> list[ScoreGroup]:
    """Return which scores of a log to draw together; unknown ones get an axis each."""
    names = dict.fromkeys(
        name
        for line in scores
        for name, value in line.items()
        if name not in _KEYS and is_number(value) and not name.endswith("_std")
    )
    groups = []
    for name, title, better, starts in _GROUPS:
        keys = tuple(key for key in names if key.startswith(starts))
        if keys:
            groups.append(ScoreGroup(name, title, keys, better))
            for key in keys:
                del names[key]
    return groups + [ScoreGroup(f"score-{place}", key, (key,), "") for place, key in enumerate(names)]


def draw_scores(record: RunRecord, group: ScoreGroup) -> Markup:
    """Return the curves of a group of scores, one per level and thick for their average."""
    lines = [(key, _pick_points(record.scores, key)) for key in group.keys]
    averages = [key for key in group.keys if key.endswith("_avg") and len(group.keys) > 1]
    said = "; ".join(
        f"{_shorten(key)} from {points[0][1]:.4g} to {points[-1][1]:.4g}, lowest {min(p[1] for p in points):.4g}"
        for key, points in lines
        if points
    )
    return _draw(
        record,
        lines,
        name=group.name,
        label="SWD x1e3" if group.name == "swd" else group.title.split(",")[0],
        alt=f"{group.title} against thousands of images shown: {said}",
        thick=averages,
        height=3.4 if len(lines) > 3 else 2.8,
    )


def draw_losses(record: RunRecord) -> Markup:
    """Return the losses of both networks and the gradient penalty."""
    keys = ("g_loss", "d_loss", "penalty")
    lines = [(key, _pick_points(record.ticks, key)) for key in keys]
    alt = "Loss of generator and discriminator and gradient penalty against thousands of images shown"
    return _draw(record, lines, name="loss", label="loss", alt=alt, width=6.4)


def draw_judgements(record: RunRecord) -> Markup:
    """Return what the discriminator says of reals and of fakes."""
    keys = ("real_score", "fake_score")
    lines = [(key, _pick_points(record.ticks, key)) for key in keys]
    alt = "The discriminator's output for reals and fakes against thousands of images shown"
    return _draw(record, lines, name="judgement", label="output of D", alt=alt, width=6.4)


def draw_speed(record: RunRecord) -> Markup:
    """Return images per second along the run."""
    points = _pick_points(record.ticks, "images_per_second")
    alt = "Real images per second against thousands of images shown"
    return _draw(record, [("images_per_second", points)], name="speed", label="images per second", alt=alt)


def _pick_points(lines: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(line["images"] / 1000, float(line[key])) for line in lines if is_number(line.get(key))]


def _shorten(key: str) -> str:
    """Return what the legend says: the level of an SWD, else the name."""
    level = key.removeprefix("SWDx1e3_")
    return "average" if level == "avg" else level if level != key else key.replace("_", " ")


def _draw(
    record: RunRecord,
    lines: Sequence[tuple[str, list[tuple[float, float]]]],
    *,
    name: str,
    label: str,
    alt: str,
    thick: Sequence[str] = (),
    width: float = 9.6,
    height: float = 2.8,
) -> Markup:
    figure, axes = start_plot(width=width, height=height)
    end = record.images_shown / 1000
    values = [value for _, points in lines for _, value in points]
    if values and min(values) > 0 and max(values) > _LOG_SPAN * min(values):
        _use_log_scale(axes)
    _shade_phases(axes, list_phases(record))
    for place, (key, points) in enumerate(line for line in lines if line[0] not in thick):
        if points:
            style = "-" if place < len(SERIES) else "--"
            _plot(axes, points, _shorten(key), color=SERIES[place % len(SERIES)], linewidth=1.5, linestyle=style)
    for key, points in lines:
        if key in thick and points:
            _plot(axes, points, _shorten(key), color=INK, linewidth=2.4, linestyle="-")
    axes.set_xlim(0, end or 1)
    axes.set_xlabel("thousands of real images shown")
    axes.set_ylabel(label)
    if len(lines) > 1:
        add_legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return finish_plot(figure, name=f"run-{name}", alt=alt)


def _plot(axes: Axes, points: list[tuple[float, float]], label: str, **style: Any) -> None:
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, label=label, marker="o" if len(points) < 60 else None, markersize=2.6, **style)


def _use_log_scale(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))


def _shade_phases(axes: Axes, phases: Sequence[Phase]) -> None:
    """Paint a band per phase, darker while a resolution fades in, with the resolution above."""
    for phase in phases:
        shade = 0.18 if phase.fading else 0.04 + 0.05 * (phase.level % 2)
        axes.axvspan(phase.start, phase.end, color=SERIES[0], alpha=shade, linewidth=0)
        if not phase.fading and len(phases) > 1:
            axes.annotate(
                f"{phase.resolution}",
                ((phase.start + phase.end) / 2, 1.0),
                (0, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=8,
                color=MUTED,
            )
