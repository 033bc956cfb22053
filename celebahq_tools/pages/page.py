"""A whole page: style, scripts, data and pictures in one file that asks no network for anything."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from celebahq_tools import __version__
from celebahq_tools.atomic import write_text_atomically
from celebahq_tools.errors import ConfigError
from celebahq_tools.pages.parts import load_templates

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


@dataclass(frozen=True)
class Section:
    """One part of a page, with an entry in its menu.

    Attributes:
        name: Unique on the page: letters, digits and dashes; the address of the section is ``#name``.
        title: Heading, and the menu's entry.
        body: As made by :mod:`celebahq_tools.pages.parts`.
        lead: One sentence below the heading: what to look for.
    """

    name: str
    title: str
    body: Markup
    lead: str | Markup = ""

    def __post_init__(self) -> None:
        if not self.name.replace("-", "").isalnum() or not self.name.isascii():
            raise ConfigError(f"section {self.name!r}: a name holds letters, digits and dashes")


@cache
def read_static(name: str, package: str = "celebahq_tools.pages") -> str:
    """Return a packaged script or style sheet from the folder ``static`` of a package."""
    return files(package).joinpath("static", name).read_text(encoding="utf-8")


def render_page(
    *,
    title: str,
    sections: Sequence[Section],
    subtitle: str = "",
    data: Mapping[str, Any] | None = None,
    blocks: Mapping[str, str] | None = None,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    served: bool = False,
) -> str:
    """Return a page as HTML.

    The page forbids itself, by a content security policy, every request and every script but its own; served pages
    may talk to their own server.

    Args:
        title: Of the page; any text.
        sections: In order.
        subtitle: One line below the title.
        data: JSON values by name, for scripts: ``readData("name")``.
        blocks: Base64 texts by name, for scripts: ``readBlock("name")``; cheaper than JSON for many pictures.
        scripts: JavaScript texts that run after the page's own, in order; no inline handlers are allowed in parts.
        styles: CSS texts after the page's own.
        served: Whether the page comes from a server: it may ask it for more, and renews its sections when the server
            says that there is something new. Scripts can wait for the event ``renewed`` of the document.
    Returns:
        The HTML document.
    Raises:
        ConfigError: If a block is not base64.
    """
    if not all(_BASE64.fullmatch(text) for text in (blocks or {}).values()):
        raise ConfigError("a block of a page holds base64 text only")
    code = [read_static("page.js"), *([read_static("served.js")] if served else []), *scripts]
    hashes = " ".join(f"'sha256-{_hash_script(script)}'" for script in code)
    own = " 'self'" if served else ""
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:{own}; "
        f"media-src data: blob:{own}; connect-src {own.strip() or chr(39) + 'none' + chr(39)}; base-uri 'none'; "
        "form-action 'none'"
    )
    return (
        load_templates()
        .get_template("page.html.j2")
        .render(
            title=title,
            subtitle=subtitle,
            sections=sections,
            data=data or {},
            blocks={name: Markup(text) for name, text in (blocks or {}).items()},  # noqa: S704 - base64
            scripts=[Markup(script) for script in code],  # noqa: S704 - our own files
            styles=[Markup(style) for style in (read_static("page.css"), *styles)],  # noqa: S704 - our own files
            policy=policy,
            version=__version__,
        )
    )


def write_page(path: Path, html: str) -> None:
    """Write a page; the file is whole or absent.

    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    write_text_atomically(path, html)


def _hash_script(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
