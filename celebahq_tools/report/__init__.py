"""The dataset report: what became of every photograph, and pictures to judge it by, in one HTML file.

:mod:`view` opens a finished file or a work folder; :mod:`summary` counts and chooses what is shown; :mod:`details`
explains one face; :mod:`sprites` packs thumbnails; :mod:`sections` lays out; :mod:`build` joins them. The live pages of
``celebahq serve`` are made of the same parts.
"""

from __future__ import annotations

from pathlib import Path


def report_path(source: Path) -> Path:
    """Return the report's path for a dataset: ``faces.h5`` has ``faces.report.html`` beside it."""
    if not source.name:  # such as "."
        source = source.resolve()
    return source.with_name(f"{source.stem}.report.html")
