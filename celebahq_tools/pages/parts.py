"""What pages are built of; every function returns HTML that is safe to put into a section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from celebahq_tools.pages.text import show_text


@cache
def load_templates(package: str = "celebahq_tools.pages") -> Environment:
    """Return the templates in the folder ``templates`` of a package.

    Whatever they print is escaped unless it is Markup.
    """
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Whatever a template prints, the invisible is written out; only what is HTML already goes in as it is.
        finalize=lambda value: value if hasattr(value, "__html__") else show_text(value, limit=None),
    )
    environment.filters["show"] = show_text
    return environment


def join_parts(parts: Iterable[Markup | str]) -> Markup:
    """Return parts one after the other; plain strings are escaped, and nothing more."""
    return Markup("\n").join(parts)


def make_paragraph(text: str | Markup, *, kind: str = "") -> Markup:
    """Return a paragraph; ``kind`` is a class of the style sheet: ``muted``, ``note`` or ``warning``."""
    return _render("paragraph", text=text, kind=kind)


def make_code(text: str) -> Markup:
    """Return a block of code or a command, with a button that copies it."""
    lines = [show_text(line, limit=None) for line in text.splitlines()]
    return _render("code", text=Markup("\n").join(lines))


def make_tiles(tiles: Sequence[tuple[str, str] | tuple[str, str, str]]) -> Markup:
    """Return big numbers side by side.

    Args:
        tiles: (number, what it counts) or (number, what it counts, a remark below).
    """
    return _render("tiles", tiles=[(*tile, "")[:3] for tile in tiles])


def make_facts(facts: Mapping[str, object]) -> Markup:
    """Return names and values, two columns; values may be Markup."""
    return _render("facts", facts=facts)


def make_table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    caption: str,
    numeric: Sequence[int] = (),
    sortable: bool = False,
    searchable: bool = False,
) -> Markup:
    """Return a table.

    Args:
        header: Names of the columns.
        rows: Cells; text is shown by :func:`show_text`, Markup as it is, None as nothing, floats with 4 digits.
        caption: What the table holds; read out by screen readers, shown above it.
        numeric: Positions of columns set to the right and sorted as numbers.
        sortable: Whether a click on a column's name sorts by it.
        searchable: Whether a field above filters the rows.
    """
    cells = [[_show_cell(cell) for cell in row] for row in rows]
    return _render(
        "table",
        header=header,
        rows=cells,
        caption=caption,
        numeric=set(numeric),
        sortable=sortable,
        searchable=searchable,
    )


def make_figure(source: str, *, alt: str, caption: str | Markup = "", pixelated: bool = False) -> Markup:
    """Return a picture with a caption.

    Args:
        source: A ``data:`` address (or one the page may load from its own server).
        alt: What the picture shows.
        caption: Below it.
        pixelated: Whether enlarged pixels stay visible as squares.
    """
    return _render("figure", source=source, alt=alt, caption=caption, pixelated=pixelated)


def make_plot(svg: Markup, *, caption: str | Markup = "") -> Markup:
    """Return a plot, as made by :mod:`celebahq_tools.pages.plots`, with a caption."""
    return _render("plot", svg=svg, caption=caption)


def make_grid(parts: Iterable[Markup], *, least: int = 300) -> Markup:
    """Return parts side by side, as many in a row as fit.

    Args:
        parts: Figures, plots, tables.
        least: Least width of one, in CSS pixels.
    """
    return Markup('<div class="grid" style="--least: {}px">{}</div>').format(least, join_parts(parts))


def make_slides(frames: Sequence[tuple[str, str]], *, name: str, alt: str, pixelated: bool = False) -> Markup:
    """Return pictures over time, one at a time, with a slider.

    Args:
        frames: (label, ``data:`` address), in order; the last is shown first.
        name: Unique on the page.
        alt: What the pictures show.
        pixelated: Whether enlarged pixels stay visible as squares.
    """
    return _render("slides", frames=list(frames), name=name, alt=alt, pixelated=pixelated)


def make_video(source: str, *, caption: str = "") -> Markup:
    """Return a video player for a ``data:`` address."""
    return _render("video", source=source, caption=caption)


def make_details(summary: str, body: Markup, *, opened: bool = False) -> Markup:
    """Return a part that is folded until its summary is clicked."""
    return _render("details", summary=summary, body=body, opened=opened)


def format_seconds(seconds: float) -> str:
    """Return a duration for people: ``0.42 s``, ``38 s``, ``4 min 10 s``, ``3 h 05 min``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _show_cell(cell: object) -> object:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return cell


def _render(macro: str, **values: Any) -> Markup:
    module = load_templates().get_template("parts.html.j2").module
    return Markup(getattr(module, macro)(**values))  # noqa: S704 - rendered with autoescape
