"""What holds for every list of scores and every picture."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from celebahq_tools.rank.select import select_best
from celebahq_tools.rank.spectrum import score_spectrum

scores = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32) | st.sampled_from([0.0, 0.5]), max_size=60)


@given(scores, st.integers(1, 70))
def test_no_picture_left_out_is_better_than_one_kept(values: list[float], keep: int) -> None:
    selection = select_best(values, keep)
    kept = selection.indices.tolist()
    finite = [i for i, value in enumerate(values) if math.isfinite(value)]
    assert len(kept) == min(keep, len(finite))
    assert kept == sorted(set(kept))
    for i in set(finite) - set(kept):
        for j in kept:
            assert (values[j], -j) > (values[i], -i)
    if kept:
        assert selection.threshold == min(values[i] for i in kept)


@given(scores, st.integers(1, 30), st.integers(1, 30))
def test_keeping_fewer_keeps_a_subset(values: list[float], few: int, more: int) -> None:
    small, large = sorted((few, few + more))
    assert set(select_best(values, small).indices.tolist()) <= set(select_best(values, large).indices.tolist())


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([64, 128, 256]),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["uniform", "binary", "sparse", "ramp"]),
)
def test_every_picture_has_a_finite_score_that_exchanging_the_axes_leaves_alone(
    size: int, seed: int, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    shape = (size, size, 3)
    if kind == "uniform":
        pixels = rng.integers(0, 256, shape).astype(np.uint8)
    elif kind == "binary":
        pixels = (rng.integers(0, 2, shape) * 255).astype(np.uint8)
    elif kind == "sparse":
        pixels = ((rng.random(shape) > 0.999) * 255).astype(np.uint8)
    else:
        pixels = np.broadcast_to(np.linspace(0, 255, size)[None, :, None], shape).astype(np.uint8)
    score = score_spectrum(pixels)
    assert math.isfinite(score.value)
    assert 0 <= score.components["breadth"] <= 1
    assert score.components["noise"] >= 0.5
    transposed = score_spectrum(np.ascontiguousarray(pixels.swapaxes(0, 1)))
    # The axes change places in the sums: only the last digits of float32 differ.
    assert abs(transposed.value - score.value) < 1e-3
