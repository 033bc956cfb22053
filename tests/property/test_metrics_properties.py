"""Properties of SWD that hold for any images, and conformance of every registered metric."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gan_metrics import METRICS, MetricSettings, SlicedWasserstein
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

FEATURE_METRICS = {"fid", "kid", "is", "prdc"}


def make_images(count: int, height: int, width: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, 3, height, width))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 0.8, 0.8))
    return np.clip(smooth / smooth.std() * 45 + 128, 0, 255).astype(np.uint8)


def score(reals: np.ndarray, fakes: np.ndarray, **options: int) -> dict[str, float]:
    metric = SlicedWasserstein(MetricSettings(**{"workers": 1, "floor": False, **options}))  # type: ignore[arg-type]
    metric.update_reals(reals)
    metric.update_fakes(fakes)
    return dict(metric.compute().values)


shapes = st.tuples(st.integers(16, 40), st.integers(16, 40))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shape=shapes, seed=st.integers(0, 2**32), count=st.integers(1, 6))
def test_distance_is_zero_on_itself_positive_otherwise_and_symmetric(
    shape: tuple[int, int], seed: int, count: int
) -> None:
    a, b = make_images(count, *shape, seed), make_images(count, *shape, seed + 1)
    assert set(score(a, a).values()) == {0.0}
    forth, back = score(a, b), score(b, a)
    assert forth == back
    assert all(value > 0 for value in forth.values())


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=shapes,
    count=st.integers(2, 9),
    batch=st.integers(1, 9),
    workers=st.integers(1, 4),
    memory=st.sampled_from([1 << 20, 3 << 20, 1 << 30]),
    order=st.randoms(use_true_random=False),
)
def test_batches_workers_memory_and_order_never_change_a_bit(
    shape: tuple[int, int], count: int, batch: int, workers: int, memory: int, order: object
) -> None:
    reals, fakes = make_images(count, *shape, 1), make_images(count, *shape, 2)
    expected = score(reals, fakes)
    indices = list(range(count))
    order.shuffle(indices)  # type: ignore[attr-defined]
    metric = SlicedWasserstein(MetricSettings(workers=workers, max_memory=memory, floor=False))
    for start in range(0, count, batch):
        metric.update_fakes(fakes[indices][start : start + batch])
        metric.update_reals(reals[indices][start : start + batch])
    assert dict(metric.compute().values) == expected


@pytest.mark.parametrize("damage", ["blur", "noise", "dropped modes"])
def test_distance_grows_with_damage(damage: str) -> None:
    # Eight kinds of texture make modes that can be dropped.
    count = 64
    kinds = np.repeat(np.linspace(0, 2, 8), count // 8)
    reals, clean = (
        np.stack(
            [
                ndimage.gaussian_filter(image, (0, kind, kind))
                for image, kind in zip(make_images(count, 32, 32, seed), kinds, strict=True)
            ]
        )
        for seed in (1, 2)
    )
    found = []
    for strength in range(4):
        if damage == "blur":
            fakes = ndimage.gaussian_filter(clean, (0, 0, 0.6 * strength, 0.6 * strength))
        elif damage == "noise":
            added = clean + np.random.default_rng(3).normal(0, 10 * strength, clean.shape)
            fakes = np.clip(added, 0, 255).astype(np.uint8)
        else:
            kept = np.arange(count) % (count - strength * (count // 4))
            fakes = clean[kept]
        found.append(score(reals, fakes)["SWDx1e3_avg"])
    assert found == sorted(found)
    assert found[-1] > 1.5 * found[0]


def make_settings(name: str, folder: Path) -> MetricSettings:
    weights = folder / "own.pt" if name == "is" else None
    if weights is not None:
        import torch
        from gan_metrics.inception import load_inception

        state = load_inception().state_dict()
        generator = torch.Generator().manual_seed(0)
        state["fc.weight"] = torch.randn(1008, 2048, generator=generator)
        state["fc.bias"] = torch.zeros(1008)
        torch.save(state, weights)
    return MetricSettings(seed=3, workers=1, inception_weights=weights)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.weights if name in FEATURE_METRICS else ()) for name in METRICS]
)
def test_every_metric_keeps_the_protocol(name: str, tmp_path: Path) -> None:
    kind = METRICS.load(name)
    reals, fakes = make_images(10, 32, 32, 1), make_images(10, 32, 32, 2)
    metric = kind(make_settings(name, tmp_path))
    assert metric.name == name
    assert kind.title
    metric.update_reals(reals[:5])
    metric.update_reals(reals[5:])
    metric.update_fakes(fakes)
    result = metric.compute()
    assert result.metric == name
    assert result.num_images == 10
    assert result.values
    assert np.isfinite(list(result.values.values())).all()
    assert result == metric.compute(), "computing twice changes nothing"
    assert set(result.to_dict()) >= {"values", "num_images", "errors", "notes", "details"}
    exported = {
        key: np.concatenate(list(array.pieces)) if hasattr(array, "pieces") else array
        for key, array in metric.export_reals().items()
    }
    if exported:
        other = kind(metric.settings)
        other.load_reals(exported)
        other.update_fakes(fakes)
        assert dict(other.compute().values) == pytest.approx(dict(result.values))
        other.close()
    metric.clear_fakes()
    metric.update_fakes(fakes)
    assert dict(metric.compute().values) == pytest.approx(dict(result.values))
    with pytest.raises(Exception, match="uint8"):
        metric.update_fakes(fakes.astype(np.float32))
    metric.close()
