"""Packaged facts: pretrained weights (where, sha256, licence) and datasets (counts, layouts)."""

from __future__ import annotations

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
