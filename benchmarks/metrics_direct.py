"""The direct ways of computing the metrics, as one would write them first: what bench_metrics.py compares with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

KERNEL = (np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256).astype(np.float32)[None, None]
WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def sliced_wasserstein(reals: NDArray[np.uint8], fakes: NDArray[np.uint8], seed: int = 0) -> list[float]:
    """Return SWD x1e3 per level of (N, 3, H, W) images: scipy.ndimage, everything in memory, sorts along axis 0."""
    rng = np.random.default_rng(seed)
    sets = [_pyramid(images.astype(np.float32)) for images in (reals, fakes)]
    found = []
    for pair in zip(*sets, strict=True):
        a, b = (_normalise(_neighbourhoods(level, rng)) for level in pair)
        results = []
        for _ in range(4):
            directions = rng.standard_normal((147, 128)).astype(np.float32)
            directions /= np.linalg.norm(directions, axis=0, keepdims=True)
            projected_a, projected_b = np.sort(a @ directions, axis=0), np.sort(b @ directions, axis=0)
            results.append(np.mean(np.abs(projected_a - projected_b)))
        found.append(1e3 * float(np.mean(results)))
    return found


def _pyramid(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    levels = []
    while images.shape[2] > 16:
        smaller = ndimage.convolve(images, KERNEL, mode="mirror")[:, :, ::2, ::2]
        spread = np.zeros_like(images)
        spread[:, :, ::2, ::2] = smaller
        levels.append(images - ndimage.convolve(spread, 4 * KERNEL, mode="mirror"))
        images = smaller
    return [*levels, images]


def _neighbourhoods(level: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    count, _, height, width = level.shape
    image = np.repeat(np.arange(count), 128)[:, None, None, None]
    row = rng.integers(3, height - 3, count * 128)[:, None, None, None] + np.arange(-3, 4)[:, None]
    column = rng.integers(3, width - 3, count * 128)[:, None, None, None] + np.arange(-3, 4)
    return level[image, np.arange(3)[:, None, None], row, column]


def _normalise(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = descriptors - descriptors.mean(axis=(0, 2, 3), keepdims=True)
    return (centred / centred.std(axis=(0, 2, 3), keepdims=True)).reshape(len(centred), -1)


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return MS-SSIM of pairs of (N, 3, H, W) images by scipy.signal.fftconvolve in float64."""
    x, y = (images.transpose(0, 2, 3, 1).astype(np.float64) for images in (a, b))
    product = np.ones(len(x))
    for scale, weight in enumerate(WEIGHTS):
        similarity, contrast = _compare(x, y)
        product *= np.maximum(similarity if scale == 4 else contrast, 0) ** weight
        x, y = ((i[:, ::2, ::2] + i[:, 1::2, ::2] + i[:, ::2, 1::2] + i[:, 1::2, 1::2]) / 4 for i in (x, y))
    return product


def _compare(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    size = min(11, *x.shape[1:3])
    places = np.arange(size) - (size - 1) / 2
    window = np.exp(-np.square(places) / (2 * (1.5 * size / 11) ** 2))
    window /= window.sum()
    kernel = np.outer(window, window)[None, :, :, None]

    def blur(images: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(signal.fftconvolve(images, kernel, mode="valid"))

    c1, c2 = 2.55**2, 7.65**2
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    contrast = (2 * (blur(x * y) - mean_x * mean_y) + c2) / (var_x + var_y + c2)
    similarity = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1) * contrast
    return similarity.mean(axis=(1, 2, 3)), contrast.mean(axis=(1, 2, 3))
