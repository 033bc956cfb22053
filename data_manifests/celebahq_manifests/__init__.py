"""Packaged facts: pretrained weights (where, sha256, licence), photographs (author, licence) and datasets."""

from __future__ import annotations

import csv
import tomllib
from importlib.resources import files
from typing import Any


def read_manifest(name: str) -> dict[str, Any]:
    """Return a packaged TOML manifest.

    Args:
        name: File name without its suffix, such as ``"weights"``.
    Raises:
        FileNotFoundError: If the package holds no such manifest.
    """
    return tomllib.loads(files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a packaged CSV table, each by column name.

    Args:
        name: File name without its suffix, such as ``"photographs"``.
    Raises:
        FileNotFoundError: If the package holds no such table.
    """
    text = files(__name__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
