"""The page of a training run: is it good, and how did it get there; the same page for a finished and a running run."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from celebahq_tools.errors import InputError
from celebahq_tools.pages.images import embed_file, embed_picture
from celebahq_tools.pages.page import Section, read_static, render_page
from celebahq_tools.pages.parts import (
    format_seconds,
    join_parts,
    make_code,
    make_details,
    make_figure,
    make_grid,
    make_paragraph,
    make_plot,
    make_slides,
    make_table,
    make_tiles,
    make_video,
)
from celebahq_tools.pages.text import show_text
from pggan_core.config import TrainConfig
from pggan_core.report import LOG_NAME
from pggan_core.run_plots import draw_judgements, draw_losses, draw_scores, draw_speed, group_scores
from pggan_core.run_record import RunRecord, is_number, list_phases, read_run

MOST_FRAMES = 48
_LONGEST_SIDE = 1280
_LARGEST_VIDEO = 32 << 20
_SMALL = 512
_MOST_ROWS = 400
_CITATION = (
    "T. Karras, T. Aila, S. Laine, J. Lehtinen: Progressive Growing of GANs for Improved Quality, Stability, and "
    "Variation. ICLR 2018, https://arxiv.org/abs/1710.10196"
)


def render_run_page(run_dir: Path, *, served: bool = False) -> str:
    """Return the page of a run folder as one HTML document with everything in it.

    Args:
        run_dir: Folder of a run of `pggan train`; unfinished and damaged ones are shown as far as they can be read.
        served: Whether the page comes from a server that it may ask for more.
    Raises:
        InputError: If the folder holds nothing of a run.
    """
    record = read_run(run_dir)
    sections = [
        _show_overview(record),
        _show_samples(record),
        _show_scores(record),
        _show_losses(record),
        _show_speed(record),
        _show_videos(record),
        _show_settings(record),
        _show_files(record),
    ]
    return render_page(
        title=f"Training run {run_dir.resolve().name}",
        subtitle=_describe(record),
        sections=[section for section in sections if section is not None],
        scripts=[read_static("run.js", "pggan_core")],
        styles=[read_static("run.css", "pggan_core")],
        served=served,
    )


def _describe(record: RunRecord) -> str:
    total = record.images_total
    if total is not None and record.images_shown >= total:
        state = "finished"
    else:
        state = f"unfinished, last written {_format_time(record.folder / LOG_NAME)}"
    data = record.settings.get("data")
    return f"{state}; data {data}" if isinstance(data, str) and data else state


def _format_time(path: Path) -> str:
    try:
        return f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"
    except OSError:
        return "at an unknown time"


def _show_overview(record: RunRecord) -> Section:
    parts: list[Markup | str] = [make_tiles(_list_tiles(record))]
    if record.problems:
        listed = Markup("").join(Markup("<li><bdi>{}</bdi></li>").format(show_text(each)) for each in record.problems)
        parts.append(Markup('<div class="warning"><p>What is missing or damaged:</p><ul>{}</ul></div>').format(listed))
    if record.images_total and record.images_shown < record.images_total:
        parts.append(make_paragraph("Not running any more? Go on with:"))
        parts.append(make_code(f"pggan train --run-dir {shlex.quote(str(record.folder))} --resume auto"))
    return Section("overview", "Overview", join_parts(parts))


def _list_tiles(record: RunRecord) -> list[tuple[str, str, str]]:
    total = record.images_total
    share = f"{100 * record.images_shown / total:.0f} % of {total / 1000:g}" if total else "of an unknown number"
    tiles = [(f"{record.images_shown / 1000:,.1f}", "thousand images shown", share)]
    phases = list_phases(record)
    if phases:
        now, last = phases[-1], record.ticks[-1]
        state = f"fading in, {100 * float(last['alpha']):.0f} %" if now.fading else "stable"
        tiles.append((f"{now.resolution}x{now.resolution}", "resolution", state))
        tiles.append((format_seconds(float(last["seconds"])), "spent training", _estimate_rest(record)))
        if is_number(last.get("skipped")):
            why = "gradients that were not finite" if last["skipped"] else "every gradient was finite"
            tiles.append((f"{last['skipped']:g}", "steps skipped", why))
    key = "SWDx1e3_avg"
    points = [(float(line[key]), line["images"] / 1000) for line in record.scores if is_number(line.get(key))]
    if points:
        lowest, at = min(points)
        tiles.append((f"{points[-1][0]:.1f}", "SWD x1e3, last", f"lowest {lowest:.1f} at {at:g} thousand"))
    return tiles


def _estimate_rest(record: RunRecord) -> str:
    rate, total = record.ticks[-1].get("images_per_second"), record.images_total
    if total is None or record.images_shown >= total or not is_number(rate) or not rate > 0:
        return ""
    return f"{format_seconds((total - record.images_shown) / rate)} left at the last speed"


def _show_samples(record: RunRecord) -> Section:
    chosen = _thin(record.grids, MOST_FRAMES)
    embedded = [(images, _embed_grid_of(path), path) for images, path in chosen]
    frames = [(f"{images / 1000:g} thousand images", source) for images, source, _ in embedded if source is not None]
    small = record.reals is not None and _is_small(record.reals)
    reals = _show_reals(record, pixelated=small)
    parts: list[Markup | str] = []
    if frames:
        alt = "Images that the generator draws from the same latents"
        slides = make_slides(frames, name="samples", alt=alt, pixelated=small)
        parts.append(make_grid([slides, reals], least=420) if reals else slides)
    else:
        parts.append(make_paragraph("No sample grids were found in the folder samples.", kind="note"))
        parts += [reals] if reals else []
    if len(chosen) < len(record.grids):
        parts.append(make_paragraph(f"{len(chosen)} of {len(record.grids)} grids, evenly spaced.", kind="muted"))
    damaged = [path.name for _, source, path in embedded if source is None]
    if damaged:
        parts.append(make_paragraph(f"Damaged and left out: {', '.join(damaged)}.", kind="warning"))
    lead = "The running average of the generator, always from the same latents. Move the slider, or press Play."
    return Section("samples", "Samples over time", join_parts(parts), lead if len(frames) > 1 else "")


def _show_reals(record: RunRecord, *, pixelated: bool) -> Markup | None:
    source = None if record.reals is None else _embed_grid_of(record.reals)
    if source is None:
        return None
    return make_figure(source, alt="Real images of the dataset", caption="Reals, to compare with", pixelated=pixelated)


def _is_small(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return max(picture.size) <= _SMALL
    except (OSError, ValueError, Image.DecompressionBombError):
        return False


def _embed_grid_of(path: Path) -> str | None:
    """Return a grid as a data address, or None if it is damaged or was taken away meanwhile."""
    try:
        facts = path.stat()
        return _embed_grid(path, facts.st_mtime_ns, facts.st_size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


@lru_cache(maxsize=4 * MOST_FRAMES)
def _embed_grid(path: Path, _modified: int, _size: int) -> str:
    """Return a grid as a data address; remembered, because a served page is made again and again."""
    with Image.open(path) as picture:
        picture.load()
        if max(picture.size) <= _SMALL:
            return embed_file(path)
        return embed_picture(picture.convert("RGB"), side=_LONGEST_SIDE, quality=88)


def _show_scores(record: RunRecord) -> Section:
    groups = group_scores(record.scores)
    if not groups:
        text = "This run was not scored. To have scores along the way: pggan train --metrics swd,fid --every KIMG"
        return Section("scores", "Scores", make_paragraph(text, kind="note"))
    parts: list[Markup | str] = []
    for group in groups:
        title = Markup("<h3>{}{}</h3>").format(group.title, f", {group.better}" if group.better else "")
        parts += [title, make_plot(draw_scores(record, group))]
    keys = [key for group in groups for key in group.keys]
    rows = [[line["images"] / 1000, *(line.get(key) for key in keys)] for line in _thin(record.scores, _MOST_ROWS)]
    table = make_table(
        ["kimg", *keys],
        rows,
        caption="Scores by thousands of images shown",
        numeric=range(len(keys) + 1),
        sortable=True,
    )
    parts.append(make_details("The numbers", table))
    lead = (
        "Each shaded band is a resolution, darker while it fades in. Fakes and reals are compared at full resolution, "
        "so that one curve covers all phases."
    )
    return Section("scores", "Scores", join_parts(parts), lead)


def _show_losses(record: RunRecord) -> Section | None:
    if not record.ticks:
        return None
    names = ["images", "resolution", "alpha", "batch", "lr", "g_loss", "d_loss", "penalty", "images_per_second"]
    ticks = _thin(record.ticks, _MOST_ROWS)
    rows = [[line["images"] / 1000, *(line.get(name) for name in names[1:])] for line in ticks]
    header = ["kimg", *names[1:]]
    table = make_table(header, rows, caption="Ticks of the log", numeric=range(len(header)), sortable=True)
    losses = make_plot(draw_losses(record), caption="They say whether training is alive, not whether it is good.")
    judgements = make_plot(draw_judgements(record), caption="D's output for reals and fakes: G has to close the gap.")
    parts = [make_grid([losses, judgements], least=480), make_details("The numbers", table)]
    return Section("losses", "Losses", join_parts(parts))


def _show_speed(record: RunRecord) -> Section | None:
    phases = list_phases(record)
    if not phases:
        return None
    rows = [
        [
            phase.name,
            phase.start,
            phase.end,
            phase.batch,
            None if phase.seconds is None else format_seconds(phase.seconds),
            phase.images_per_second,
        ]
        for phase in phases
    ]
    header = ["phase", "from kimg", "to kimg", "minibatch", "time", "images/s"]
    table = make_table(header, rows, caption="Phases of the run", numeric=(1, 2, 3, 4, 5))
    lead = "Real images per second, sample grids, checkpoints and scores included."
    return Section("speed", "Speed per phase", join_parts([table, make_plot(draw_speed(record))]), lead)


def _show_videos(record: RunRecord) -> Section | None:
    parts: list[Markup | str] = []
    for path in record.videos:
        try:
            if path.stat().st_size <= _LARGEST_VIDEO:
                parts.append(make_video(embed_file(path), caption=path.name))
            else:
                size = f"{path.name} ({path.stat().st_size / 1e6:.0f} MB)"
                large = f"{size} is too large to embed; open it in the run folder."
                parts.append(make_paragraph(large, kind="note"))
        except (InputError, OSError) as error:
            parts.append(make_paragraph(str(error), kind="warning"))
    return Section("video", "Interpolation", join_parts(parts)) if parts else None


def _show_settings(record: RunRecord) -> Section:
    if not record.settings:
        return Section("settings", "Settings", make_paragraph("config.json could not be read.", kind="warning"))
    defaults = dataclasses.asdict(TrainConfig())
    rows: list[Sequence[Any]] = []
    changed: list[Sequence[Any]] = []
    for name, value in record.settings.items():
        usual = _format_setting(defaults[name]) if name in defaults else "(unknown setting)"
        rows.append((name, _format_setting(value), usual))
        if rows[-1][1] != usual:
            changed.append(rows[-1])
    header = ["setting", "this run", "default"]
    parts = [
        make_table(header, changed, caption="Settings that differ from the defaults"),
        make_details("All settings", make_table(header, rows, caption="All settings", searchable=True)),
    ]
    return Section("settings", "Settings", join_parts(parts))


def _format_setting(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != "" else "none"


def _show_files(record: RunRecord) -> Section:
    parts: list[Markup | str] = [make_paragraph(Markup("Run folder: <code>{}</code>").format(show_text(record.folder)))]
    rows = []
    for file in record.checkpoints:
        size = file.path.stat().st_size / 1e6 if file.path.is_file() else None
        kimg = None if file.images is None else file.images / 1000
        rows.append([file.path.name, kimg, size, file.problem or "whole"])
    if rows:
        header = ["checkpoint", "kimg", "MB", "state"]
        caption = "Checkpoints, by header and length; `pggan train --resume` checks every byte"
        parts.append(make_table(header, rows, caption=caption, numeric=(1, 2)))
    parts.append(make_paragraph("Please cite:"))
    parts.append(make_code(_CITATION))
    return Section("files", "Files and citation", join_parts(parts))


def _thin(items: Sequence[Any], most: int) -> list[Any]:
    """Return at most that many items, evenly spaced, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
