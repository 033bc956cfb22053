"""The page of a score: how far the fakes are from the reals at each scale, in what, and what changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from celebahq_tools.pages.images import embed_picture
from celebahq_tools.pages.page import Section, read_static, render_page
from celebahq_tools.pages.parts import (
    join_parts,
    make_code,
    make_facts,
    make_figure,
    make_grid,
    make_paragraph,
    make_plot,
    make_table,
    make_tiles,
)
from gan_metrics.base import METRICS, MetricResult
from gan_metrics.earlier_score import EarlierScore, list_changes, list_differences
from gan_metrics.projection_views import LevelProjections, ProjectedSets
from gan_metrics.score_plots import draw_distances, draw_projection, draw_values, strip_level

_PREVIEW_COLUMNS = 8
_PREVIEW_SIDE = 128
_SMALL = 48
_CITATION = (
    "T. Karras, T. Aila, S. Laine, J. Lehtinen: Progressive Growing of GANs for Improved Quality, Stability, and "
    "Variation. ICLR 2018, https://arxiv.org/abs/1710.10196"
)


@dataclass(frozen=True)
class ScoreReport:
    """Everything the page shows.

    Attributes:
        results: One per metric.
        reals, fakes: What was read, one line each.
        seed: Source of randomness.
        projections: Of SWD, if it was among the metrics.
        previews: A few images of each set by its name, (N, 3, H, W) uint8.
        skipped: Unreadable images by set and name.
        earlier: To compare with.
    """

    results: Sequence[MetricResult]
    reals: str
    fakes: str
    seed: int
    projections: Sequence[LevelProjections] = ()
    previews: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    skipped: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    earlier: EarlierScore | None = None


def render_score_page(report: ScoreReport) -> str:
    """Return the page of a score as one HTML document with everything in it."""
    sections = [
        _show_overview(report),
        _show_change(report),
        *[_show_metric(result, report.earlier) for result in report.results],
        _show_projections(report),
        _show_images(report),
        _show_details(report),
    ]
    return render_page(
        title="Score of generated images",
        subtitle=f"{report.fakes}, against {report.reals}",
        sections=[section for section in sections if section is not None],
        styles=[read_static("score.css", "gan_metrics")],
    )


def _show_overview(report: ScoreReport) -> Section:
    tiles = []
    for result in report.results:
        # The average of SWD first; of other metrics the value they are known by.
        for name in sorted(result.values, key=lambda name: not name.endswith("_avg")):
            floor = result.floor.get(name)
            remark = f"{METRICS.load(result.metric).floor_title} {_format(floor)}" if floor is not None else ""
            tiles.append((_format(result.values[name]), name, remark))
    parts = [make_tiles(tiles)]
    for result in report.results:
        parts += [make_paragraph(note, kind="note") for note in result.notes]
        parts += [make_paragraph(sentence) for sentence in _read_levels(result)]
    return Section("overview", "Overview", join_parts(parts))


def _read_levels(result: MetricResult) -> list[str]:
    """Return what the levels of SWD say: where the fakes are farthest above the floor."""
    ratios = {
        strip_level(name): value / result.floor[name]
        for name, value in result.values.items()
        if result.floor.get(name) and not name.endswith("_avg")
    }
    if result.metric != "swd" or not ratios:
        return []
    worst = max(ratios, key=ratios.__getitem__)
    if ratios[worst] <= 1:
        return ["At no level are the fakes farther from the reals than reals are from each other."]
    return [
        f"The fakes differ most at level {worst}, {ratios[worst]:.1f} times the floor. The floor is the same distance "
        "between two disjoint sets of reals: what a perfect generator would get."
    ]


def _show_change(report: ScoreReport) -> Section | None:
    if report.earlier is None:
        return None
    changes = list_changes(report.results, report.earlier)
    differences = list_differences(report.results, report.earlier, reals=report.reals, seed=report.seed)
    parts: list[Markup | str] = [make_paragraph(sentence, kind="warning") for sentence in differences]
    rows = [
        [
            change.name,
            change.before,
            change.now,
            f"{change.now - change.before:+.4g}",
            change.error,
            Markup('<span class="{}">{}</span>').format(change.verdict.split()[0], change.verdict),
        ]
        for change in changes
    ]
    if rows:
        header = ["value", "then", "now", "change", "standard error of the change", "verdict"]
        caption = f"Against {report.earlier.fakes}, from {report.earlier.path.name}"
        parts.append(make_table(header, rows, caption=caption, numeric=(1, 2, 3, 4)))
    else:
        parts.append(make_paragraph("The earlier report has none of these values.", kind="note"))
    lead = (
        "Better or worse is said where the change is more than twice its standard error over other images. SWD has "
        "that error from 16 images on; FID and others have none."
    )
    return Section("change", "What changed", join_parts(parts), lead)


def _show_metric(result: MetricResult, earlier: EarlierScore | None) -> Section:
    title, floor_title = METRICS.load(result.metric).title, METRICS.load(result.metric).floor_title
    errors = {
        suffix: label
        for suffix, label in (("_se_directions", "se directions"), ("_se_images", "se images"), ("_se", "se"))
        if any(name + suffix in result.errors for name in result.values)
    }
    rows = [
        [
            name,
            _format(value),
            *([_format(result.floor.get(name))] if result.floor else []),
            *(_format(result.errors.get(name + suffix)) for suffix in errors),
        ]
        for name, value in result.values.items()
    ]
    header = ["value", "score", *([floor_title] if result.floor else []), *errors.values()]
    caption = f"{title}: {result.num_images} images per set"
    if result.floor:
        caption += f"; {floor_title} from sets of {result.floor_num_images}"
    table = make_table(header, rows, caption=caption, numeric=range(1, len(header)))
    before = earlier.metrics.get(result.metric, {}).get("values") if earlier else None
    plot = make_plot(draw_values(result, before if isinstance(before, dict) else None))
    return Section(f"metric-{result.metric}", title, make_grid([plot, table], least=420))


def _show_projections(report: ScoreReport) -> Section | None:
    if not report.projections:
        return None
    (swd,) = [result for result in report.results if result.metric == "swd"]
    parts: list[Markup | str] = []
    for level in report.projections:
        floor = swd.floor.get(f"SWDx1e3_{level.level}")
        heading = f"Level {level.level}: {_format(swd.values[f'SWDx1e3_{level.level}'])}"
        parts.append(Markup("<h3>{}{}</h3>").format(heading, f", floor {_format(floor)}" if floor is not None else ""))
        shown = [make_plot(draw_distances(level, floor), caption="The distance along each of the directions")]
        shown += [_show_direction(level.level, number, sets) for number, sets in enumerate(level.chosen)]
        parts.append(make_grid(shown, least=320))
    lead = (
        "SWD projects the 7x7 neighbourhoods of both sets onto random directions and compares how they spread. A "
        "direction is itself a 7x7 patch, shown beside its histogram. Where the outlines part, the sets differ."
    )
    return Section("projections", "Projections", join_parts(parts), lead)


def _show_direction(level: str, number: int, sets: ProjectedSets) -> Markup:
    scaled = np.rint(127.5 + 127.5 * sets.patch / max(float(np.abs(sets.patch).max()), 1e-9)).astype(np.uint8)
    patch = make_figure(
        embed_picture(scaled, encoding="PNG"),
        alt=f"The direction of {sets.label} at level {level} as a 7x7 patch",
        pixelated=True,
    )
    plot = draw_projection(sets, name=f"projection-{level}-{number}", level=level)
    caption = f"{sets.label}: {_format(sets.distance)}"
    return Markup('<div class="direction">{}{}</div>').format(make_plot(plot, caption=caption), patch)


def _show_images(report: ScoreReport) -> Section | None:
    figures = [
        make_figure(
            embed_picture(_lay_out(images), quality=88),
            alt=f"{len(images)} images of {name}",
            caption=name,
            pixelated=images.shape[3] <= _SMALL,
        )
        for name, images in report.previews.items()
        if len(images)
    ]
    if not figures:
        return None
    return Section("images", "Some of the images compared", make_grid(figures, least=420))


def _lay_out(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images side by side, (H, W, 3), reduced by a whole number where they are large."""
    step = max(1, max(images.shape[2:]) // _PREVIEW_SIDE)
    height, width = (side // step for side in images.shape[2:])
    whole = images[:, :, : height * step, : width * step].astype(np.float32)
    small = np.rint(whole.reshape(len(images), 3, height, step, width, step).mean(axis=(3, 5))).astype(np.uint8)
    rows = -(-len(small) // _PREVIEW_COLUMNS)
    canvas = np.full((rows * height, min(len(small), _PREVIEW_COLUMNS) * width, 3), 255, dtype=np.uint8)
    for place, image in enumerate(small):
        top, left = place // _PREVIEW_COLUMNS * height, place % _PREVIEW_COLUMNS * width
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return canvas


def _show_details(report: ScoreReport) -> Section:
    parts: list[Markup | str] = [make_facts({"reals": report.reals, "fakes": report.fakes, "seed": report.seed})]
    for path, bad in report.skipped.items():
        rows = list(bad.items())
        parts.append(make_table(["image", "reason"], rows, caption=f"Unreadable and skipped in {path}: {len(bad)}"))
    parts += [make_paragraph("Please cite:"), make_code(_CITATION)]
    return Section("details", "What was compared", join_parts(parts))


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"
