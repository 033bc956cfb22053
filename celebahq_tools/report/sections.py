"""The sections of a dataset's report, from a snapshot to HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from celebahq_tools import __version__
from celebahq_tools.pages import parts, plots
from celebahq_tools.pages.page import Section
from celebahq_tools.rank.duplicates import MAX_DIFFERENCE
from celebahq_tools.report.summary import Counts, Group
from celebahq_tools.report.table import FaceTable
from celebahq_tools.report.view import Snapshot
from celebahq_tools.types import ItemRecord
from celebahq_tools.weights import list_weights

# Rows of the table of rejections: more would only be scrolled past, and the manifest has them all.
MOST_REJECTIONS = 2_000


def render_macro(name: str, **values: Any) -> Markup:
    """Return what a macro of this package's templates makes of some values."""
    module = parts.load_templates("celebahq_tools.report").get_template("faces.html.j2").module
    return Markup(getattr(module, name)(**values))  # noqa: S704 - rendered with autoescape


@dataclass(frozen=True, eq=False)
class Tile:
    """A face on the page: a picture, and its score's parts on hover and focus."""

    index: int
    file: str
    status: str
    badge: str
    picture: str
    parts: Sequence[tuple[str, str]]


def make_tile(faces: FaceTable, row: int, picture: str) -> Tile:
    """Return the tile of a row of the face table."""
    numbers = [("score", f"{faces.score[row]:.4f}")]
    numbers += [(name, f"{value:.3f}") for name, value in zip(faces.part_names, faces.parts[row], strict=True)]
    numbers += [("zoom", f"{faces.zoom[row]:.2f}×"), ("photo", f"{faces.photo_fraction[row]:.0%}")]
    return Tile(
        int(faces.index[row]),
        faces.files[row],
        "kept" if faces.position[row] >= 0 else "out",
        f"{faces.score[row]:.3f}",
        picture,
        [(name, "–" if "nan" in text else text) for name, text in numbers],
    )


def show_counts(counts: Counts, snapshot: Snapshot) -> Markup:
    """Return what became of the photographs."""
    rejected = sum(counts.rejected.values())
    tiles = [(f"{counts.found:,}", "found", "photographs and landmark rows")]
    if counts.waiting:
        tiles.append((f"{counts.waiting:,}", "not worked on yet", _share(counts.waiting, counts.found)))
    tiles += [
        (f"{rejected:,}", "rejected", _share(rejected, counts.found)),
        (f"{counts.ranked:,}", "ranked", _share(counts.ranked, counts.found)),
        (
            f"{counts.kept:,}",
            "kept",
            f"score ≥ {snapshot.threshold:.4f}" if math.isfinite(snapshot.threshold) else "",
        ),
    ]
    body = [parts.make_tiles(tiles)]
    reasons = {**counts.rejected, **counts.left_out}
    below = counts.ranked - counts.kept - sum(counts.left_out.values())
    if below:
        reasons["rank.below_threshold"] = below
    if reasons:
        most = max(reasons.values())
        bars = [(reason, count, round(100 * count / most, 1)) for reason, count in reasons.items()]
        body.append(render_macro("bars", bars=bars, caption="Why photographs are not in the dataset"))
    return parts.join_parts(body)


def show_scores(snapshot: Snapshot) -> Markup:
    """Return the histogram of the scores with the cut, and of the score's parts."""
    faces = snapshot.faces
    scores = faces.score[np.isfinite(faces.score)]
    if not len(scores):
        return parts.make_paragraph("No face has a score yet.", kind="muted")
    cut = snapshot.threshold if len(scores) > faces.kept.sum() else math.nan
    drawn = [
        _plot(
            scores,
            name="scores",
            label="score",
            caption=f"Scores of {len(scores):,} faces; median {np.median(scores):.3f}",
            mark=cut,
            mark_label=f"cut at {cut:.4f}",
        )
    ]
    for column, name in enumerate(faces.part_names):
        values = faces.parts[:, column]
        values = values[np.isfinite(values)]
        if len(values):
            drawn.append(_plot(values, name=f"part-{name}", label=name, caption=f"{name}: {_quartiles(values)}"))
    return parts.make_grid(drawn, least=340)


def show_groups(groups: Sequence[tuple[Group, Sequence[Tile]]]) -> Markup:
    """Return groups of faces."""
    if not groups:
        return parts.make_paragraph("No face can be shown yet.", kind="muted")
    return parts.join_parts(render_macro("group", group=group, faces=faces) for group, faces in groups)


def show_pairs(pairs: Sequence[tuple[Sequence[Tile], float]], *, faces: int) -> Markup:
    """Return faces that look alike, two by two.

    Args:
        pairs: Two tiles and their difference, the likest first.
        faces: How many were compared.
    """
    if not pairs:
        return parts.make_paragraph(f"No two of the {faces:,} faces at hand look alike.", kind="muted")
    shown = []
    for tiles, difference in pairs:
        same = "as good as the same" if difference <= MAX_DIFFERENCE else "alike, not the same"
        shown.append({"faces": tiles, "remark": f"difference {difference:.3f}: {same}"})
    lead = (
        f"The likest of all pairs of the {faces:,} faces at hand. Up to a difference of {MAX_DIFFERENCE:g} two count "
        "as duplicates, where a build looks for them; brightness, contrast and small motions do not count."
    )
    return parts.join_parts([parts.make_paragraph(lead, kind="muted"), render_macro("pairs", pairs=shown)])


def show_distributions(snapshot: Snapshot, megapixels: NDArray[np.float64]) -> Markup:
    """Return how large, how near and how whole the faces were in their photographs.

    Args:
        snapshot: The dataset.
        megapixels: Of the photographs, as far as they are known.
    """
    faces = snapshot.faces
    shown = faces.kept if faces.kept.any() else np.ones(len(faces), bool)
    drawn = []
    crop = _finite(faces.crop_side(snapshot.size)[shown])
    if len(crop):
        below = float(np.mean(crop < snapshot.size))
        drawn.append(
            _plot(
                crop,
                name="crop",
                label="side of the crop in the photograph, pixels",
                caption=f"Crop size: {_quartiles(crop)}; {below:.0%} lie below {snapshot.size} px and were enlarged",
            )
        )
        drawn.append(
            _plot(
                snapshot.size / crop,
                name="zoom",
                label="zoom: output pixels per photograph pixel",
                caption=f"Zoom: {_quartiles(snapshot.size / crop)}; above 1, detail had to be invented",
            )
        )
    fraction = _finite(faces.photo_fraction[shown])
    if len(fraction):
        whole = float(np.mean(fraction > 0.9999))
        drawn.append(
            _plot(
                fraction,
                name="fraction",
                label="share of the face that is photograph",
                caption=f"Photo fraction: {whole:.0%} of the faces lie wholly inside their photograph",
                span=(min(0.5, float(fraction.min())), 1.0),
            )
        )
    if len(megapixels):
        drawn.append(
            _plot(
                megapixels,
                name="resolution",
                label="resolution of the photograph, megapixels",
                caption=f"Resolution of {len(megapixels):,} photographs: {_quartiles(megapixels)}",
            )
        )
    if not drawn:
        return parts.make_paragraph("The manifest does not say where these faces were cut from.", kind="muted")
    return parts.make_grid(drawn, least=340)


def show_rejections(rejections: Sequence[ItemRecord], pictures: Sequence[Mapping[str, str]]) -> Markup:
    """Return rejected photographs with their reasons.

    Args:
        rejections: All of them.
        pictures: Some of them: ``picture`` (an address, or nothing), ``reason``, ``file``, ``detail``.
    """
    if not rejections:
        return parts.make_paragraph("No photograph was rejected.", kind="muted")
    body = [render_macro("rejected", photographs=pictures)] if pictures else []
    rows = [(one.index, one.file, f"{one.stage}.{one.reason}", one.detail) for one in rejections[:MOST_REJECTIONS]]
    caption = "Rejected photographs"
    if len(rejections) > len(rows):
        caption += f": the first {len(rows):,} of {len(rejections):,}; the manifest lists all"
    header = ("index", "file", "reason", "detail")
    body.append(parts.make_table(header, rows, caption=caption, numeric=[0], sortable=True, searchable=True))
    return parts.join_parts(body)


def show_provenance(snapshot: Snapshot) -> Markup:
    """Return versions, weights with sha256 and licence, options, and where the time went."""
    settings = dict(snapshot.settings)
    facts: dict[str, object] = {"Report made by": f"celebahq-tools {__version__}"}
    facts.update((name.replace("_", " "), value) for name, value in settings.items())
    body = [parts.make_facts(facts)]
    used = [
        (entry.name, entry.title, Markup("<code>{}</code>").format(entry.sha256), entry.licence, entry.source)
        for entry in list_weights().values()
        if any(value.partition(" ")[0] == entry.name for value in settings.values())
    ]
    if used:
        body.append(Markup("<h3>Pretrained weights</h3>"))
        header = ("name", "what it is", "sha256", "licence", "source")
        body.append(parts.make_table(header, used, caption="Nets that shaped these pixels"))
    if snapshot.stage_seconds:
        total = sum(seconds for _, seconds in snapshot.stage_seconds.values()) or 1.0
        times = [
            (stage, count, parts.format_seconds(seconds), f"{1000 * seconds / count:,.1f} ms", f"{seconds / total:.1%}")
            for stage, (count, seconds) in snapshot.stage_seconds.items()
        ]
        body.append(Markup("<h3>Time per stage</h3>"))
        body.append(
            parts.make_table(
                ("stage", "photographs", "time in all workers", "per photograph", "share"),
                times,
                caption="Wall time inside the workers",
                numeric=[1, 2, 3, 4],
            )
        )
    if snapshot.runs:
        starts = [_describe_run(run.started, run.ended, run.outcome, run.details) for run in snapshot.runs]
        header = ("started (UTC)", "took", "outcome", "workers", "keep")
        body.append(parts.make_table(header, starts, caption="Every start of this build", numeric=[3, 4]))
    return parts.join_parts(body)


def show_citation() -> Markup:
    """Return how to cite the method and the software."""
    bibtex = (
        "@inproceedings{karras2018progressive,\n"
        "  title     = {Progressive Growing of {GAN}s for Improved Quality, Stability, and Variation},\n"
        "  author    = {Karras, Tero and Aila, Timo and Laine, Samuli and Lehtinen, Jaakko},\n"
        "  booktitle = {International Conference on Learning Representations},\n"
        "  year      = {2018},\n"
        "  url       = {https://arxiv.org/abs/1710.10196}\n"
        "}"
    )
    software = (
        "@software{celebahq_tools,\n"
        "  title   = {celebahq-tools},\n"
        f"  version = {{{__version__}}},\n"
        "  license = {Apache-2.0}\n"
        "}"
    )
    return parts.join_parts(
        [
            parts.make_paragraph(
                "The photographs keep the rights and licences of their own; cite the dataset they come from as well."
            ),
            parts.make_code(bibtex),
            parts.make_code(software),
        ]
    )


def make_sections(bodies: Mapping[str, Markup]) -> list[Section]:
    """Return the sections whose bodies are given, in the order of the page."""
    known = {
        "overview": ("Overview", "What became of every photograph."),
        "scores": ("Scores", "Higher is better; see docs/ranking.md for what the score measures."),
        "faces": ("Faces to judge by", "Open one for its spectrum and the steps that made it."),
        "all": ("All faces", "Sort, filter, open; arrow keys move, Enter opens."),
        "rejected": ("Rejected", ""),
        "duplicates": ("Near duplicates", "Pairs that look alike, side by side."),
        "distributions": ("Distributions", "Where the faces came from."),
        "provenance": ("Provenance", ""),
        "cite": ("How to cite", ""),
    }
    return [Section(name, title, bodies[name], lead) for name, (title, lead) in known.items() if name in bodies]


def _plot(values: NDArray[np.float64], *, name: str, label: str, caption: str, **options: Any) -> Markup:
    bins = int(np.clip(2 * len(values) ** (1 / 3), 10, 60))
    svg = plots.draw_histogram(
        values.tolist(), name=name, alt=f"Histogram: {caption}", label=label, bins=bins, **options
    )
    return parts.make_plot(svg, caption=caption)


def _quartiles(values: NDArray[np.float64]) -> str:
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"median {middle:.3g}, half between {low:.3g} and {high:.3g}"


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%} of found" if total else ""


def _describe_run(started: float, ended: float | None, outcome: str, details: Mapping[str, Any]) -> tuple[object, ...]:
    begun = datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%d %H:%M:%S")
    took = parts.format_seconds(ended - started) if ended else ""
    return (begun, took, outcome, details.get("workers", ""), details.get("keep", ""))
