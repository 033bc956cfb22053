"""Fixtures of the tests that go through the installed commands."""

import pytest

from celebahq_tools.source.samples import write_sample_folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The sample photographs in CelebA's layout; a module may change its own copy."""
    folder = tmp_path_factory.mktemp("photos") / "celeba"
    write_sample_folder(folder)
    return folder
