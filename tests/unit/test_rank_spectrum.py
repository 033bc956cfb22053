"""The spectral score against a plain float64 reading of its formulas, and against cases with a known answer."""

from __future__ import annotations

import math
import pickle
import warnings

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from celebahq_tools.errors import ShapeError
from celebahq_tools.rank.spectrum import COMPONENT_NAMES, QualityScore, measure_spectrum, score_spectrum

SIZES = (64, 128, 256, 512, 1024)


def gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(np.rint(values), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def white_noise(size: int, sigma: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(128, sigma, (size, size))


def photograph(name: str, size: int) -> np.ndarray:
    pixels = getattr(skimage.data, name)()
    side = min(pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels[:side, :side]).resize((size, size), Image.Resampling.LANCZOS))


def hann(size: int) -> np.ndarray:
    return np.sin(np.pi * np.arange(size) / size) ** 2


def running(values: np.ndarray, span: int, function) -> list[float]:
    padded = np.pad(values, span // 2, mode="edge")
    return [float(function(padded[i : i + span])) for i in range(len(values))]


def reference_score(pixels: np.ndarray) -> dict[str, float]:
    """The definition of docs/ranking.md over the whole frequency plane, float64, nothing shared with the package."""
    size = len(pixels)
    y = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    w = np.outer(hann(size), hann(size))
    y0 = (y - (w * y).sum() / w.sum()) * w
    power = np.abs(np.fft.fft2(y0)) ** 2 / (w**2).sum() + 1e-4
    u = np.fft.fftfreq(size) * 2
    radius = np.hypot(u[:, None], u)
    count = {64: 16, 128: 32}.get(size, 64)
    f = (np.arange(count) + 0.5) / count
    rings = [(radius >= k / count) & (radius < (k + 1) / count) & (radius > 0) for k in range(count)]
    g_white = np.array([np.log(power[r] * radius[r] ** 2).mean() for r in rings]) + 0.57722
    g = np.array([np.log(power[r]).mean() for r in rings]) + 0.57722
    a = np.array([math.log(power[r].mean()) for r in rings])

    b = max(16, min(64, size // 8))
    wb = np.outer(hann(b), hann(b))
    ub = np.fft.fftfreq(b) * b
    rb = np.hypot(ub[:, None], ub)
    inner = (np.abs(ub)[:, None] < b / 2) & (np.abs(ub) < b / 2)
    ks = np.arange(2, b // 2 + 1)
    means = []
    for top in range(size // 8, size - size // 8, b):
        for left in range(size // 8, size - size // 8, b):
            pb = np.abs(np.fft.fft2(y[top : top + b, left : left + b] * wb)) ** 2 / (wb**2).sum()
            means.append([pb[inner & (rb > k - 0.5) & (rb <= k + 0.5)].mean() for k in ks])
    quiet = np.quantile(means, 0.1, axis=0)
    plateau = quiet[ks * 32 >= 25 * (b // 2)].mean()
    n = np.array([max(plateau, 0.25 * np.interp(max(x, 0.4) * b / 2, ks, quiet)) for x in f]) + 0.5

    step = f[1] - f[0]
    use = [i for i in range(count) if 1 / 32 <= f[i] <= 0.98 and i > 0]
    octave = np.array([math.log2((f[i] + step / 2) / (f[i] - step / 2)) for i in use])
    signal = np.array([(g_white[i] - 2 * math.log(f[i]) - math.log(n[i])) / 4 for i in use])
    breadth = float((octave * np.clip(signal, 0, 1)).sum() / octave.sum())

    d = np.log((np.exp(a) + 5) / (np.exp(g) + 5))
    lines = d - running(d, {64: 9, 32: 5, 16: 3}[count], np.median)
    asymmetry = float(max(lines[f >= 1 / 16]))
    smooth = np.array(running(g_white, {64: 5, 32: 3, 16: 1}[count], np.mean))
    low = g_white[(f >= 0.03) & (f <= 0.1)].mean()
    excess = float(max(0, smooth[(f >= 0.12) & (f <= 0.8)].max() - low))
    value = breadth - 0.2 * math.log(1 + max(asymmetry - 0.15, 0)) - 0.1 * max(excess - 0.3, 0)
    return {"value": value, "breadth": breadth, "asymmetry": asymmetry, "excess": excess, "noise": float(n[-1])}


def cases(size: int) -> dict[str, np.ndarray]:
    face = photograph("astronaut", size)
    x = np.arange(size)
    return {
        "face": face,
        "coffee": photograph("coffee", size),
        "blurred": cv2.GaussianBlur(face, (0, 0), 2),
        "striped": np.clip(face + 12 * np.cos(2 * np.pi * x / 5)[None, :, None], 0, 255).astype(np.uint8),
        "noise": gray(white_noise(size, 20)),
        "black": np.zeros((size, size, 3), np.uint8),
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["face", "coffee", "blurred", "striped", "noise", "black"])
def test_score_and_components_equal_the_plain_float64_formulas_to_a_thousandth(name: str, size: int) -> None:
    # float32 transforms are good to 1e-7 of the strongest line; sums of logs over a ring to about 1e-5.
    pixels = cases(size)[name]
    expected = reference_score(pixels)
    score = score_spectrum(pixels)
    assert score.value == pytest.approx(expected["value"], abs=1e-3)
    for component in ("breadth", "asymmetry", "excess"):
        assert score.components[component] == pytest.approx(expected[component], abs=1e-3), component
    assert score.components["noise"] == pytest.approx(expected["noise"], rel=1e-3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sigma", [4.0, 20.0])
def test_white_noise_of_variance_s2_has_power_s2(size: int, sigma: float) -> None:
    # Rounding to whole grey levels adds 1/12. Over all rings some 0.8 n^2 / 2 independent exponentials, correlated
    # over about 2 bins by the window, are averaged: three standard errors are 3 * 1.5 / sqrt(0.4 n^2).
    spectrum = measure_spectrum(gray(white_noise(size, sigma)))
    weights = spectrum.frequency[1:]
    power = np.average(np.exp(spectrum.log_mean[1:]), weights=weights)
    assert power == pytest.approx(sigma**2 + 1 / 12, rel=3 * 1.5 / math.sqrt(0.4 * size**2))


def test_isotropic_gaussian_field_has_equal_log_mean_and_mean_log() -> None:
    rng = np.random.default_rng(3)
    size = 1024
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    spectrum = np.fft.rfft2(rng.normal(size=(size, size))) / np.maximum(f, 1 / size)
    field = np.fft.irfft2(spectrum, s=(size, size))
    rings = measure_spectrum(gray(128 + 35 * field / field.std()))
    gap = rings.log_mean - rings.mean_log
    # From ring 4 on a ring has over 200 entries; the steep low end is left out, where the power varies in a ring.
    assert np.abs(gap[4:]).max() < 0.12
    assert abs(gap[4:].mean()) < 0.02


@pytest.mark.parametrize("period", [3.7, 6.0, 11.3])
def test_grating_has_a_high_asymmetry_and_lowers_the_score(period: float) -> None:
    face = photograph("astronaut", 512)
    phase = np.arange(512)[None, :] * np.cos(0.3) + np.arange(512)[:, None] * np.sin(0.3)
    lined = np.clip(face + 30.0 * np.cos(2 * np.pi * phase / period)[..., None], 0, 255).astype(np.uint8)
    clean, striped = score_spectrum(face), score_spectrum(lined)
    assert clean.components["asymmetry"] < 0.3
    assert striped.components["asymmetry"] > 2
    assert striped.value < clean.value - 0.15


def test_pure_grating_has_a_higher_asymmetry_than_noise_of_the_same_energy() -> None:
    x = np.arange(1024)
    grating = gray(128 + 40 * np.cos(2 * np.pi * x / 7.3)[None, :] * np.ones((1024, 1)))
    noise = gray(white_noise(1024, 40 / math.sqrt(2)))
    assert score_spectrum(grating).components["asymmetry"] > 4
    assert score_spectrum(noise).components["asymmetry"] < 0.15


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_breadth_falls_with_every_step_of_blur(name: str) -> None:
    face = photograph(name, 512)
    sigmas = (0.7, 1.0, 1.5, 2.5, 4.0, 6.0)
    breadth = [score_spectrum(face).components["breadth"]]
    breadth += [score_spectrum(cv2.GaussianBlur(face, (0, 0), sigma)).components["breadth"] for sigma in sigmas]
    assert np.all(np.diff(breadth) < 0), breadth


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [0, 77, 255])
def test_picture_of_one_colour_scores_low_without_a_warning(size: int, level: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = score_spectrum(np.full((size, size, 3), level, np.uint8))
    assert score.components["breadth"] == 0
    assert score.components["noise"] == pytest.approx(0.5, abs=1e-6)
    assert -0.55 < score.value < -0.45


def test_score_is_the_same_for_any_number_of_threads_and_any_memory_layout() -> None:
    face = photograph("astronaut", 1024)
    before = cv2.getNumThreads()
    try:
        scores = []
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            scores.append(score_spectrum(face))
    finally:
        cv2.setNumThreads(before)
    scores.append(score_spectrum(np.asfortranarray(face)))
    assert all(score == scores[0] for score in scores)


def test_scoring_leaves_the_pixels_as_they_were() -> None:
    face = photograph("astronaut", 256)
    copy = face.copy()
    copy.setflags(write=False)
    score_spectrum(copy)
    np.testing.assert_array_equal(copy, face)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((2048, 2048, 3), np.uint8),
        np.zeros((100, 100, 3), np.uint8),
        np.zeros((128, 64, 3), np.uint8),
        np.zeros((128, 128), np.uint8),
        np.zeros((128, 128, 4), np.uint8),
        np.zeros((128, 128, 3), np.float32),
    ],
    ids=["too small", "too big", "no power of two", "not square", "gray", "alpha", "float"],
)
def test_pixels_of_the_wrong_shape_are_refused_with_what_is_needed(pixels: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="need"):
        score_spectrum(pixels)


def test_score_survives_pickling_and_cannot_be_changed() -> None:
    score = score_spectrum(photograph("coffee", 64))
    assert pickle.loads(pickle.dumps(score)) == score
    assert tuple(score.components) == COMPONENT_NAMES
    with pytest.raises(TypeError):
        score.components["breadth"] = 1.0  # type: ignore[index]


def test_score_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ShapeError, match="not finite"):
        QualityScore(float("nan"), dict.fromkeys(COMPONENT_NAMES, 0.0))
    with pytest.raises(ShapeError, match="need"):
        QualityScore(0.0, {"breadth": 1.0})
