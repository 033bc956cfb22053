"""Properties of the schedule and of the data order that resuming rests on."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pggan_core.loader import draw_flips, order_images
from pggan_core.schedule import ScheduleConfig, schedule_at

# A deadline would fail on a busy machine.
QUICK = settings(max_examples=50, deadline=None)
SCHEDULES = st.builds(
    ScheduleConfig,
    levels=st.integers(0, 8),
    grow=st.booleans(),
    stable_kimg=st.floats(0.1, 900),
    fade_kimg=st.floats(0.1, 900),
)


@QUICK
@given(SCHEDULES, st.lists(st.integers(0, 20_000_000), min_size=2, max_size=20))
def test_resolution_only_grows_and_alpha_stays_in_range(schedule, moments):
    points = [schedule_at(schedule, moment) for moment in sorted(moments)]
    assert all(0 < point.alpha <= 1 and 0 <= point.level <= schedule.levels for point in points)
    lods = [point.lod for point in points]
    assert lods == sorted(lods, reverse=True)
    assert all(a.stage <= b.stage for a, b in itertools.pairwise(points))


@QUICK
@given(SCHEDULES, st.integers(10_000, 500_000))
def test_optimizer_is_reset_exactly_once_per_change_of_the_networks(schedule, step):
    shown = list(range(0, 3_000_000, step))
    points = [schedule_at(schedule, now, before) for before, now in zip([None, *shown], shown, strict=False)]
    assert sum(point.reset_optimizer for point in points) == len({point.stage for point in points}) - 1


@QUICK
@given(st.integers(1, 50), st.integers(0, 2**31), st.integers(0, 5))
def test_every_pass_shows_every_image_once(count, seed, number):
    places = np.arange(count * number, count * (number + 1))
    assert sorted(order_images(places, count, seed)) == list(range(count))


@QUICK
@given(st.integers(1, 40), st.integers(0, 2**31), st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_order_and_mirroring_do_not_depend_on_how_batches_are_cut(count, seed, sizes):
    whole = np.arange(sum(sizes))
    pieces = np.split(whole, np.cumsum(sizes)[:-1])
    for draw in (lambda places: order_images(places, count, seed), lambda places: draw_flips(places, seed)):
        assert np.array_equal(np.concatenate([draw(piece) for piece in pieces]), draw(whole))


def test_mirroring_is_a_fair_coin():
    flips = draw_flips(np.arange(40_000), seed=3)
    # Five standard deviations of a fair coin.
    assert abs(flips.mean() - 0.5) < 5 * 0.5 / 200
    assert abs(np.corrcoef(flips[:-1], flips[1:])[0, 1]) < 5 / 200
