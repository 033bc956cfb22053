"""The one-dimensional distance against scipy's, on both sides of the size from which it is counted and not sorted."""

import numpy as np
import pytest
from gan_metrics.wasserstein import EXACT_BELOW, Sample, measure_distance
from scipy.stats import wasserstein_distance

DRAWS = {
    "normal": lambda rng, n: rng.standard_normal((2, n)),
    "laplace": lambda rng, n: rng.laplace(size=(2, n)),
    # One outlier in 65,536 stretches the steps a hundredfold.
    "student": lambda rng, n: rng.standard_t(3, size=(2, n)),
}


def draw(kind, count, rng):
    x, y = DRAWS[kind](rng, count)
    return x.astype(np.float32), (1.003 * y).astype(np.float32)


def measure(x, y, **options):
    return measure_distance(Sample(x.copy(), **options), Sample(y.copy(), **options))


@pytest.mark.parametrize("kind", DRAWS)
def test_short_samples_are_exact(kind):
    x, y = draw(kind, EXACT_BELOW - 1, np.random.default_rng(0))
    # Differences of float32.
    assert measure(x, y) == pytest.approx(wasserstein_distance(x, y), rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "one", "mean"), [("normal", 2e-4, 2e-5), ("laplace", 4e-4, 5e-5), ("student", 2e-3, 2e-4)]
)
def test_long_samples_are_as_near_as_the_docs_say(kind, one, mean):
    # Three times the figures of docs/metrics.md.
    rng = np.random.default_rng(1)
    pairs = [draw(kind, EXACT_BELOW, rng) for _ in range(24)]
    exact = np.array([wasserstein_distance(x, y) for x, y in pairs])
    found = np.array([measure(x, y) for x, y in pairs])
    assert np.abs(found / exact - 1).max() < one
    assert abs(found.mean() / exact.mean() - 1) < mean


@pytest.mark.parametrize("count", [1000, EXACT_BELOW + 3])
def test_equal_samples_are_0_apart_and_exchanged_or_sorted_ones_as_far_as_before(count):
    x, y = draw("laplace", count, np.random.default_rng(2))
    assert measure(x, np.random.default_rng(3).permutation(x)) == 0
    assert measure(x, y) == measure(y, x) == measure(np.sort(x), np.sort(y), is_sorted=True) > 0


@pytest.mark.parametrize("count", [1000, EXACT_BELOW])
def test_shifts_are_subtracted(count):
    x = np.linspace(0, 1, count, dtype=np.float32)
    found = measure_distance(Sample(x.copy(), shift=0.25), Sample(x.copy(), shift=-0.5))
    assert found == pytest.approx(0.75, rel=1e-5)


def test_constant_samples_have_a_distance_too():
    ones = np.ones(EXACT_BELOW, np.float32)
    assert measure(ones, ones) == 0
    assert measure(ones, 3 * ones) == pytest.approx(2, rel=1e-6)
