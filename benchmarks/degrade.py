"""Graded degradations of photographs, and the two sharpness measures the score is compared with."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def _to_pixels(values: NDArray[np.floating]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _grid(pixels: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    return y.astype(np.float64), x.astype(np.float64)


def blur(pixels: Pixels, strength: float) -> Pixels:
    """Gaussian blur; strength = sigma in px."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), strength), dtype=np.uint8)


def halftone(pixels: Pixels, strength: float) -> Pixels:
    """Blend with its own print in 45-degree round dots, period 5 px; strength = share of the print."""
    y, x = _grid(pixels)
    screen = 127.5 + 63.75 * (
        np.cos(2 * np.pi * (x + y) / 5 / np.sqrt(2)) + np.cos(2 * np.pi * (x - y) / 5 / np.sqrt(2))
    )
    printed = np.where(pixels > screen[..., None], 255.0, 0.0)
    return _to_pixels((1 - strength) * pixels + strength * printed)


def moire(pixels: Pixels, strength: float) -> Pixels:
    """Add the product of two gratings a few degrees apart; strength = amplitude in grey levels."""
    y, x = _grid(pixels)
    first = np.cos(2 * np.pi * (x * np.cos(0.10) + y * np.sin(0.10)) / 6.0)
    second = np.cos(2 * np.pi * (x * np.cos(0.17) + y * np.sin(0.17)) / 6.4)
    return _to_pixels(pixels + strength * (first * second)[..., None])


def scan_lines(pixels: Pixels, strength: float) -> Pixels:
    """Darken every second pair of rows; strength = share of the light that is lost."""
    factor = np.where(np.arange(pixels.shape[0]) % 4 < 2, 1.0, 1.0 - strength)
    return _to_pixels(pixels * factor[:, None, None])


def add_noise(pixels: Pixels, strength: float) -> Pixels:
    """Add white Gaussian noise of its own per channel; strength = sigma in grey levels."""
    noise = np.random.default_rng(0).normal(0.0, strength, pixels.shape)
    return _to_pixels(pixels + noise)


def reduce_resolution(pixels: Pixels, size: int, resample: Image.Resampling = Image.Resampling.LANCZOS) -> Pixels:
    """Bring a square picture to size x size px (Lanczos, antialiased) and the result to 1024x1024 by `resample`."""
    small = Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((1024, 1024), resample))


DEGRADATIONS: dict[str, tuple[Callable[[Pixels, float], Pixels], tuple[float, ...]]] = {
    "blur": (blur, (0.7, 1.0, 1.5, 2.5, 4.0, 6.0)),
    "halftone": (halftone, (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)),
    "moire": (moire, (2, 4, 8, 16, 32, 48)),
    "scan lines": (scan_lines, (0.02, 0.05, 0.1, 0.2, 0.4, 0.6)),
    "white noise": (add_noise, (2, 4, 8, 16, 32, 48)),
}


def measure_laplacian_variance(pixels: Pixels) -> float:
    """Variance of the Laplacian of the luma, the usual sharpness measure."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(luma, cv2.CV_32F).var())


def measure_high_frequency_ratio(pixels: Pixels) -> float:
    """Share of the spectral energy (without the mean) above a quarter of the Nyquist frequency."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float64)
    power = np.abs(np.fft.fft2(luma - luma.mean())) ** 2
    frequency = np.abs(np.fft.fftfreq(len(luma), 0.5))
    return float(power[np.hypot(frequency[:, None], frequency) > 0.25].sum() / power.sum())
