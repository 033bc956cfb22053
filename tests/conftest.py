"""Fixtures that every layer of tests uses."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of reference data; README.md there states the origin of each file."""
    return Path(__file__).parent / "golden"
