"""Fixtures that every layer of tests uses."""

from pathlib import Path

import pytest
from hypothesis import settings

# Examples are judged by their results alone: a busy machine must not fail them.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of reference data; README.md there states the origin of each file."""
    return Path(__file__).parent / "golden"
