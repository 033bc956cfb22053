"""Make the report of a dataset: one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from celebahq_tools.errors import ConfigError
from celebahq_tools.pages.images import embed_picture
from celebahq_tools.pages.page import read_static, render_page, write_page
from celebahq_tools.pages.text import show_text
from celebahq_tools.rank.duplicates import THUMB_SIDE, Thumbs, make_thumb
from celebahq_tools.report import sections as layout
from celebahq_tools.report.details import draw_steps_or_reason, explain_face
from celebahq_tools.report.pairs import find_pairs
from celebahq_tools.report.photographs import Photographs
from celebahq_tools.report.sprites import COLUMNS, PER_SHEET, choose_sprite_size, pack_sprites, shrink_face
from celebahq_tools.report.summary import Group, choose_groups, count_outcomes
from celebahq_tools.report.view import DatasetView, Snapshot
from celebahq_tools.types import ItemRecord, Pixels

PACKAGE = "celebahq_tools.report"
# Rejected photographs shown as pictures, and of one reason at most.
_PICTURES, _PICTURES_PER_REASON = 48, 12

Progress = Callable[[str, int, int], None]
"""Is told of (what, done, total)."""


def ignore_progress(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class ReportOptions:
    """What a report holds.

    Attributes:
        shown: Faces in each group of faces to judge by.
        strips: Faces whose steps are computed; each runs the nets again.
        seed: Of the random faces.
        device: Where the nets run.
    Raises:
        ConfigError: If a number is out of range.
    """

    shown: int = 12
    strips: int = 6
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 1 <= self.shown <= 200:
            raise ConfigError(f"--shown {self.shown}: show 1 to 200 faces in a group")
        if self.strips < 0:
            raise ConfigError(f"--strips {self.strips}: must be 0 (none) or more")


def write_report(
    view: DatasetView,
    out: Path,
    *,
    photos: Path | None = None,
    options: ReportOptions | None = None,
    progress: Progress = ignore_progress,
) -> Snapshot:
    """Write the report of a dataset.

    Args:
        view: The dataset.
        out: HTML file; whole or absent.
        photos: Folder of the photographs; the one the work folder names when omitted. Without it, the page says that
            steps cannot be shown.
        options: What to show.
        progress: Is told how it goes on.
    Returns:
        What the report was made of.
    Raises:
        InputError: If ``photos`` is given and does not exist.
        StoreError: If the dataset is damaged.
        OSError: If the file cannot be written.
    """
    options = options or ReportOptions()
    snapshot = view.take_snapshot()
    photographs = find_photographs(snapshot, photos, device=options.device)
    faces = snapshot.faces
    visible = snapshot.at_hand
    groups = choose_groups(snapshot, lambda row: bool(visible[row]), count=options.shown, seed=options.seed)
    rows = np.flatnonzero(visible)
    data, blocks, thumbs = pack_gallery(view, snapshot, rows, progress)
    bodies = make_static_bodies(snapshot, photographs)
    bodies["duplicates"] = _show_pairs(view, snapshot, rows, thumbs)
    bodies["faces"] = layout.show_groups(draw_groups(view, snapshot, groups))
    dialog = layout.render_macro(
        "dialog", details=_explain_groups(view, snapshot, groups, photographs, options, progress)
    )
    gallery = layout.render_macro("gallery", parts=faces.part_names, count=int(visible.sum()))
    bodies["all"] = Markup("{}{}").format(gallery, dialog)
    html = render_page(
        title=view.title,
        subtitle=f"Dataset report: {int(faces.kept.sum()):,} faces of {snapshot.size} × {snapshot.size} pixels",
        sections=layout.make_sections(bodies),
        data={"faces": data},
        blocks=blocks,
        scripts=[read_static("faces.js", PACKAGE)],
        styles=[read_static("faces.css", PACKAGE)],
    )
    write_page(out, html)
    return snapshot


def find_photographs(snapshot: Snapshot, photos: Path | None, *, device: str = "auto") -> Photographs | None:
    """Return the photographs of a dataset: of the folder given, else of the one its settings name, if it is there."""
    if photos is not None:
        return Photographs(photos, snapshot.settings, device=device)
    source = snapshot.settings.get("source", "")
    if source and Path(source).is_dir():
        return Photographs(Path(source), snapshot.settings, device=device)
    return None


def make_static_bodies(snapshot: Snapshot, photographs: Photographs | None) -> dict[str, Markup]:
    """Return the bodies of all sections but those that show faces of the dataset."""
    counts = count_outcomes(snapshot)
    return {
        "overview": layout.show_counts(counts, snapshot),
        "scores": layout.show_scores(snapshot),
        "rejected": layout.show_rejections(snapshot.rejections, _picture_rejections(snapshot, photographs)),
        "distributions": layout.show_distributions(snapshot, _measure_megapixels(snapshot, photographs)),
        "provenance": layout.show_provenance(snapshot),
        "cite": layout.show_citation(),
    }


def draw_groups(
    view: DatasetView, snapshot: Snapshot, groups: Sequence[Group], *, side: int = 192
) -> list[tuple[Group, list[layout.Tile]]]:
    """Return groups with the tiles of their faces."""
    drawn = []
    for group in groups:
        tiles = [_draw_tile(view, snapshot, row, side=side) for row in group.rows.tolist()]
        drawn.append((group, [tile for tile in tiles if tile is not None]))
    return drawn


def pack_gallery(
    view: DatasetView, snapshot: Snapshot, rows: NDArray[np.int64], progress: Progress
) -> tuple[dict[str, Any], dict[str, str], Thumbs]:
    """Return the columns of the sheet of all faces, its thumbnails, and those by which duplicates are found."""
    size = choose_sprite_size(len(rows))
    thumbs = np.zeros((len(rows), THUMB_SIDE, THUMB_SIDE), np.uint8)

    def read(number: int) -> Pixels | None:
        pixels = view.read_face(*_place(snapshot, int(rows[number])), side=size.side)
        if pixels is not None and len(pixels) >= THUMB_SIDE:
            thumbs[number] = make_thumb(pixels)
        return pixels

    blocks = {}
    for name, sheet, done in pack_sprites(len(rows), read, size):
        blocks[name] = sheet
        progress("thumbnails", done, len(rows))
    columns = list_columns(snapshot, rows)
    columns["sprite"] = {"side": size.side, "columns": COLUMNS, "sheet": PER_SHEET}
    return columns, blocks, thumbs


def _show_pairs(view: DatasetView, snapshot: Snapshot, rows: NDArray[np.int64], thumbs: Thumbs) -> Markup:
    pairs = []
    for pair in find_pairs(thumbs):
        both = [int(rows[pair.first]), int(rows[pair.second])]
        tiles = [tile for row in both if (tile := _draw_tile(view, snapshot, row, side=160)) is not None]
        pairs.append((tiles, pair.difference))
    return layout.show_pairs(pairs, faces=len(rows))


def _draw_tile(view: DatasetView, snapshot: Snapshot, row: int, *, side: int) -> layout.Tile | None:
    pixels = view.read_face(*_place(snapshot, row), side=side)
    if pixels is None:
        return None
    picture = embed_picture(shrink_face(pixels, min(side, len(pixels))), encoding="WEBP", quality=80)
    return layout.make_tile(snapshot.faces, row, picture)


def list_columns(snapshot: Snapshot, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return some rows of the face table as JSON can hold them; what is not a number becomes null."""
    faces = snapshot.faces
    return {
        "names": list(faces.part_names),
        "index": faces.index[rows].tolist(),
        "file": [show_text(faces.files[row], limit=120) for row in rows.tolist()],
        "score": _round(faces.score[rows], 5),
        "parts": [_round(faces.parts[rows, part], 4) for part in range(len(faces.part_names))],
        "zoom": _round(faces.zoom[rows], 3),
        "fraction": _round(faces.photo_fraction[rows], 3),
        "crop": _round(faces.crop_side(snapshot.size)[rows], 0),
        "kept": faces.kept[rows].astype(int).tolist(),
    }


def describe_verdict(snapshot: Snapshot, row: int) -> str:
    """Return in words whether a face is in the dataset, and why not."""
    faces = snapshot.faces
    if faces.position[row] >= 0:
        return f"kept, number {faces.position[row]} of the dataset"
    reason, detail = snapshot.left_out.get(int(faces.index[row]), ("", ""))
    if reason:
        return f"left out: {reason}" + (f" ({detail})" if detail else "")
    return f"left out: its score is below the cut of {snapshot.threshold:.4f}"


def _explain_groups(
    view: DatasetView,
    snapshot: Snapshot,
    groups: Sequence[Group],
    photographs: Photographs | None,
    options: ReportOptions,
    progress: Progress,
) -> list[tuple[int, Markup]]:
    """Return the explanation of every face in a group; the first of each group get their steps."""
    rows = list(dict.fromkeys(row for group in groups for row in group.rows.tolist()))
    stripped = _choose_strips(groups, options.strips) if photographs else []
    records = view.find_records([int(snapshot.faces.index[row]) for row in rows])
    explained = []
    for number, row in enumerate(rows):
        progress("faces explained", number, len(rows))
        index = int(snapshot.faces.index[row])
        record = records.get(index)
        pixels = view.read_face(*_place(snapshot, row), side=512)
        if record is None or pixels is None:
            continue
        if photographs is None or row in stripped:
            steps = draw_steps_or_reason(photographs, record)
        else:
            steps = f"The steps of {len(stripped)} faces are in this file; pass a larger --strips for more."
        body = explain_face(record, pixels, verdict=describe_verdict(snapshot, row), size=snapshot.size, steps=steps)
        explained.append((index, body))
    progress("faces explained", len(rows), len(rows))
    return explained


def _choose_strips(groups: Sequence[Group], count: int) -> list[int]:
    """Return the rows whose steps are computed: in turn the next of each group."""
    turns = max((len(group.rows) for group in groups), default=0)
    rows = [int(group.rows[turn]) for turn in range(turns) for group in groups if turn < len(group.rows)]
    return list(dict.fromkeys(rows))[:count]


def _picture_rejections(snapshot: Snapshot, photographs: Photographs | None) -> list[dict[str, str]]:
    """Return some rejected photographs as pictures, a few of every reason before more of any."""
    if photographs is None:
        return []
    chosen: dict[str, list[ItemRecord]] = {}
    for record in snapshot.rejections:
        of_reason = chosen.setdefault(f"{record.stage}.{record.reason}", [])
        if len(of_reason) < _PICTURES_PER_REASON:
            of_reason.append(record)
    turns = range(_PICTURES_PER_REASON)
    records = [records[turn] for turn in turns for records in chosen.values() if turn < len(records)][:_PICTURES]
    pictures = []
    for record in sorted(records, key=lambda one: (one.stage, one.reason, one.index)):
        image = photographs.read_small(record, side=160)
        picture = embed_picture(image, encoding="WEBP", quality=70) if image else ""
        reason = f"{record.stage}.{record.reason}"
        pictures.append({"picture": picture, "reason": reason, "file": record.file, "detail": record.detail})
    return pictures


def _measure_megapixels(snapshot: Snapshot, photographs: Photographs | None) -> NDArray[np.float64]:
    """Return the sizes of at most 5,000 photographs of kept faces, spread evenly; only their headers are read."""
    if photographs is None:
        return np.empty(0)
    rows = np.flatnonzero(snapshot.faces.kept)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), 5_000)).astype(int)]
    sizes = [photographs.measure(snapshot.faces.files[row]) for row in rows.tolist()]
    return np.array([width * height / 1e6 for width, height in filter(None, sizes)])


def _place(snapshot: Snapshot, row: int) -> tuple[int, int]:
    return int(snapshot.faces.index[row]), int(snapshot.faces.position[row])


def _round(values: NDArray[np.float64], digits: int) -> list[float | None]:
    return [round(value, digits) if np.isfinite(value) else None for value in values.tolist()]
