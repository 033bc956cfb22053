"""Tiling, against nets whose whole result is known: filters of scipy with a fixed radius."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter

from celebahq_tools.errors import ConfigError
from celebahq_tools.restore.base import SizeRule, mirror_to_fit
from celebahq_tools.restore.tiling import TilePlan, run_tiled
from celebahq_tools.types import Pixels

rules = st.builds(SizeRule, st.integers(1, 4), st.integers(1, 9))


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    rule = draw(rules)
    halo = draw(st.integers(0, 6))
    return TilePlan(rule, halo, rule.fit(2 * halo + rule.multiple_of + draw(st.integers(0, 12))))


@given(plans(), st.integers(1, 200))
def test_kept_parts_partition_the_axis_and_lie_a_halo_from_every_cut(plan: TilePlan, length: int) -> None:
    length = plan.rule.fit(length)
    spans = plan.split_axis(length)
    assert [i for span in spans for i in range(span.keep_start, span.keep_stop)] == list(range(length))
    for span in spans:
        assert 0 <= span.start <= span.keep_start < span.keep_stop <= span.stop <= length
        assert span.start == 0 or span.keep_start - span.start >= plan.halo
        assert span.stop == length or span.stop - span.keep_stop >= plan.halo


@given(plans(), st.integers(1, 200))
def test_tiles_are_equal_acceptable_and_start_on_the_grid(plan: TilePlan, length: int) -> None:
    spans = plan.split_axis(plan.rule.fit(length))
    sizes = {span.stop - span.start for span in spans}
    assert len(sizes) == 1
    assert all(size <= plan.tile and plan.rule.fit(size) == size for size in sizes)
    assert all(span.start % plan.rule.multiple_of == 0 for span in spans)


@given(plans(), st.integers(1, 40), st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_a_filter_that_reaches_as_far_as_the_halo_shows_no_seam(
    plan: TilePlan, height: int, width: int, scale: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)

    def run(tile: Pixels) -> Pixels:
        reach = 2 * plan.halo + 1
        # 'constant' is what a zero-padded net does at its edges, which at a cut would be wrong.
        filtered = maximum_filter(tile, (reach, reach, 1), mode="constant", cval=255)
        return filtered.repeat(scale, axis=0).repeat(scale, axis=1)

    whole = run(mirror_to_fit(pixels, plan.rule))[: height * scale, : width * scale]
    np.testing.assert_array_equal(run_tiled(pixels, run, scale=scale, plan=plan), whole)


def test_a_halo_one_too_small_does_show_a_seam() -> None:
    # The test above can fail: a filter that reaches one pixel beyond the halo differs at the cuts.
    pixels = np.zeros((1, 60, 3), np.uint8)

    def run(tile: Pixels) -> Pixels:
        return maximum_filter(tile, (1, 9, 1), mode="constant", cval=255)

    plan = TilePlan(SizeRule(), halo=3, tile=20)
    assert not np.array_equal(run_tiled(pixels, run, scale=1, plan=plan), run(pixels))


@given(rules, st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_mirroring_grows_to_the_rule_and_keeps_the_original(rule: SizeRule, height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    grown = mirror_to_fit(pixels, rule)
    assert grown.shape[:2] == (rule.fit(height), rule.fit(width))
    np.testing.assert_array_equal(grown[:height, :width], pixels)
    if grown.shape[0] > height > 1:
        np.testing.assert_array_equal(grown[height, :width], pixels[height - 2])


@pytest.mark.parametrize("tile", [0, 8, 9, 13])
def test_tiles_too_small_for_their_halo_or_off_the_grid_are_refused(tile: int) -> None:
    with pytest.raises(ConfigError, match=f"tiles of {tile} pixels do not work with a halo of 4"):
        TilePlan(SizeRule(multiple_of=2), halo=4, tile=tile)


def test_memory_is_that_of_one_tile_whatever_the_image() -> None:
    sizes = set()

    def run(tile: Pixels) -> Pixels:
        sizes.add(tile.shape)
        return tile

    run_tiled(np.zeros((700, 901, 3), np.uint8), run, scale=1, plan=TilePlan(SizeRule(2), halo=8, tile=128))
    assert sizes == {(114, 128, 3)}


@given(plans(), st.integers(1, 200))
def test_tiles_are_no_larger_than_their_number_takes(plan: TilePlan, length: int) -> None:
    length = plan.rule.fit(length)
    spans = plan.split_axis(length)
    side = spans[0].stop
    smaller = side - plan.rule.multiple_of
    if len(spans) > 1 and plan.rule.fit(smaller) == smaller:
        # Neighbours are at most their side less two halos apart, rounded down to the grid.
        step = (smaller - 2 * plan.halo) // plan.rule.multiple_of * plan.rule.multiple_of
        assert smaller + step * (len(spans) - 1) < length


def test_a_crop_a_little_larger_than_a_tile_is_not_computed_three_times() -> None:
    spans = TilePlan(SizeRule(), halo=24, tile=256).split_axis(300)
    assert [(span.start, span.stop) for span in spans] == [(0, 174), (126, 300)]
