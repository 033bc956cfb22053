"""What every registered restorer must do, checked over every registry entry."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data

from celebahq_tools.errors import ConfigError, ShapeError, WeightsError
from celebahq_tools.restore import REGISTRIES, Kind, load_restorer
from celebahq_tools.restore.base import Restorer
from celebahq_tools.types import Pixels
from celebahq_tools.weights import list_weights

ENTRIES: list[tuple[Kind, str]] = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry]
SIZES = [(1, 1), (1, 6), (3, 200), (9, 13)]


@pytest.fixture(scope="module", params=ENTRIES, ids=lambda entry: "-".join(entry))
def entry(request: pytest.FixtureRequest) -> tuple[Kind, str, Restorer]:
    kind, name = request.param
    try:
        return kind, name, load_restorer(kind, name, device="cpu")
    except WeightsError as error:
        # Only what the `weights` extra leaves out may be absent.
        if name != "x4plus":
            raise
        pytest.skip(str(error))


def crop_photo(height: int, width: int) -> Pixels:
    return np.ascontiguousarray(skimage.data.astronaut()[100 : 100 + height, 150 : 150 + width])


@pytest.mark.weights
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_restorer_accepts_any_size_and_scales_it_exactly(
    entry: tuple[Kind, str, Restorer], height: int, width: int
) -> None:
    restorer = entry[2]
    pixels = crop_photo(height, width)
    before = pixels.copy()
    restored = restorer.restore(pixels)
    assert restored.shape == (height * restorer.scale, width * restorer.scale, 3)
    assert restored.dtype == np.uint8
    assert not np.shares_memory(restored, pixels)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.weights
def test_every_restorer_gives_the_same_result_twice(entry: tuple[Kind, str, Restorer]) -> None:
    pixels = crop_photo(8, 11)
    np.testing.assert_array_equal(entry[2].restore(pixels), entry[2].restore(pixels))


@pytest.mark.weights
def test_every_restorer_accepts_views_and_read_only_arrays(entry: tuple[Kind, str, Restorer]) -> None:
    view = crop_photo(8, 14)[::-1, ::2]
    view.flags.writeable = False
    np.testing.assert_array_equal(entry[2].restore(view), entry[2].restore(np.ascontiguousarray(view)))


@pytest.mark.weights
def test_every_restorer_keeps_the_overall_colour(entry: tuple[Kind, str, Restorer]) -> None:
    pixels = crop_photo(16, 16)
    restored = entry[2].restore(pixels)
    # Swapped channels or a wrong range shift the mean by tens of grey levels; restoring shifts it by under four.
    assert np.abs(restored.mean(axis=(0, 1)) - pixels.mean(axis=(0, 1))).max() < 4


@pytest.mark.weights
def test_every_restorer_states_who_it_is(entry: tuple[Kind, str, Restorer]) -> None:
    _, name, restorer = entry
    assert restorer.name == name
    assert restorer.scale >= 1
    assert restorer.halo >= 0
    assert restorer.licence


@pytest.mark.weights
@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
    ids=["grey", "four channels", "float", "empty"],
)
def test_every_restorer_refuses_what_is_not_an_rgb_image(entry: tuple[Kind, str, Restorer], pixels: Pixels) -> None:
    with pytest.raises(ShapeError, match=r"expected a uint8 image of shape \(H, W, 3\)"):
        entry[2].restore(pixels)


@pytest.mark.weights
def test_every_restorer_refuses_a_scale_it_does_not_have(entry: tuple[Kind, str, Restorer]) -> None:
    kind, name, _ = entry
    with pytest.raises(ConfigError, match="scale"):
        load_restorer(kind, name, device="cpu", scale=3)


def test_every_registered_net_has_its_weights_in_the_manifest() -> None:
    for kind, registry in REGISTRIES.items():
        assert set(registry) - {"none", "lanczos"} == set(list_weights(kind))
