"""Unit tests of MS-SSIM."""

from __future__ import annotations

import numpy as np
import pytest
from gan_metrics import MetricSettings, MultiScaleSSIM
from gan_metrics.ms_ssim import WEIGHTS, compare_scale, compute_ms_ssim
from scipy import signal
from skimage.metrics import structural_similarity

from celebahq_tools.errors import InputError, ShapeError

RNG = np.random.default_rng(0)


def make_pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    smooth = signal.fftconvolve(RNG.normal(size=(3, height, width)), np.ones((1, 5, 5)) / 5, mode="same")
    first = np.clip(smooth * 40 + 120, 0, 255)
    second = np.clip(first + RNG.normal(0, 15, first.shape), 0, 255)
    return first.astype(np.uint8), second.astype(np.uint8)


def direct(a: np.ndarray, b: np.ndarray) -> float:
    """The formula of Wang et al. in float64, by plain two-dimensional convolution."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = 1.0
    for scale, weight in enumerate(WEIGHTS):
        size = min(11, *x.shape[1:])
        places = np.arange(size) - (size - 1) / 2
        window = np.exp(-np.square(places) / (2 * (1.5 * size / 11) ** 2))
        kernel = np.outer(window, window)[None] / window.sum() ** 2

        def blur(image: np.ndarray, kernel: np.ndarray = kernel) -> np.ndarray:
            return signal.convolve(image, kernel, mode="valid", method="direct")

        mx, my = blur(x), blur(y)
        vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
        contrast = (2 * vxy + 7.65**2) / (vx + vy + 7.65**2)
        similarity = contrast * (2 * mx * my + 2.55**2) / (mx * mx + my * my + 2.55**2)
        product *= max((similarity if scale == 4 else contrast).mean(), 0) ** weight
        if scale < 4:
            x, y = ((i[:, ::2, ::2] + i[:, 1::2, ::2] + i[:, ::2, 1::2] + i[:, 1::2, 1::2]) / 4 for i in (x, y))
    return float(product)


@pytest.mark.parametrize("shape", [(64, 64), (192, 176), (16, 32)])
def test_ms_ssim_equals_the_formula_in_float64(shape: tuple[int, int]) -> None:
    a, b = make_pair(*shape)
    # float32 around zero: a few 1e-7 per variance.
    assert compute_ms_ssim(a, b) == pytest.approx(direct(a, b), abs=5e-6)


def test_one_scale_equals_scikit_image() -> None:
    a, b = (image.transpose(1, 2, 0) for image in make_pair(60, 48))
    _, full = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2, full=True
    )
    found, _ = compare_scale(a.astype(np.float32) - 128, b.astype(np.float32) - 128)
    assert found == pytest.approx(full[5:-5, 5:-5].mean(), abs=5e-6)


def test_equal_images_give_1_and_opposite_ones_0() -> None:
    a, _ = make_pair(64, 64)
    assert compute_ms_ssim(a, a) == pytest.approx(1, abs=1e-6)
    assert compute_ms_ssim(a, 255 - a) == 0
    constant = np.full((3, 32, 32), 7, np.uint8)
    assert compute_ms_ssim(constant, constant) == pytest.approx(1, abs=1e-6)


def test_odd_sides_are_averaged_with_their_own_last_row() -> None:
    a, b = make_pair(37, 51)
    assert 0 < compute_ms_ssim(a, b) < 1


def test_pairs_are_consecutive_across_batches_and_the_odd_one_is_named() -> None:
    images = np.stack([image for _ in range(4) for image in make_pair(32, 32)])[:7]
    metric = MultiScaleSSIM(MetricSettings(workers=2))
    metric.update_fakes(images[:3])
    metric.update_fakes(images[3:])
    result = metric.compute()
    expected = [compute_ms_ssim(images[index], images[index + 1]) for index in (0, 2, 4)]
    assert result.values["ms_ssim"] == pytest.approx(np.mean(expected))
    assert result.errors["ms_ssim_se"] == pytest.approx(np.std(expected, ddof=1) / np.sqrt(3))
    assert "the last image has no partner and was left out" in result.notes
    assert result.details["pairs"] == 3


def test_the_reals_own_similarity_stands_beside() -> None:
    pair = np.stack(make_pair(32, 32))
    metric = MultiScaleSSIM()
    metric.update_reals(pair)
    metric.update_fakes(pair[::-1].copy())
    assert metric.compute().floor == {"ms_ssim": pytest.approx(compute_ms_ssim(*pair))}


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="at least two images"):
        MultiScaleSSIM().compute()
    with pytest.raises(ShapeError, match="at least 16"):
        MultiScaleSSIM().update_fakes(np.zeros((2, 3, 8, 8), np.uint8))
    with pytest.raises(ShapeError, match="one shape"):
        compute_ms_ssim(np.zeros((3, 32, 32), np.uint8), np.zeros((3, 32, 16), np.uint8))
