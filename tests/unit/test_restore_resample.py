from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from PIL import Image

from celebahq_tools.errors import ConfigError
from celebahq_tools.restore import load_restorer


def test_none_returns_an_equal_copy() -> None:
    pixels = skimage.data.astronaut()[:9, :7]
    restored = load_restorer("sr", "none").restore(pixels)
    np.testing.assert_array_equal(restored, pixels)
    assert not np.shares_memory(restored, pixels)


@pytest.mark.parametrize("scale", [1, 2, 8])
def test_lanczos_scales_by_any_power_of_two_as_pillow_does(scale: int) -> None:
    pixels = skimage.data.astronaut()[:40, :30]
    expected = Image.fromarray(pixels).resize((30 * scale, 40 * scale), Image.Resampling.LANCZOS)
    restorer = load_restorer("sr", "lanczos", scale=scale)
    assert restorer.scale == scale
    np.testing.assert_array_equal(restorer.restore(pixels), np.asarray(expected))


def test_lanczos_is_four_times_unless_told_otherwise() -> None:
    assert load_restorer("sr", "lanczos").scale == 4


@pytest.mark.parametrize("scale", [0, -2, 3, 6])
def test_lanczos_refuses_a_scale_that_is_not_a_power_of_two(scale: int) -> None:
    with pytest.raises(ConfigError, match="not a power of two; use 1, 2, 4, 8"):
        load_restorer("sr", "lanczos", scale=scale)
