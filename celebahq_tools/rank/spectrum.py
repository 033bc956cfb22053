"""Quality score of a photograph from its power spectrum: broad, radially symmetric spectra score high."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import cv2
import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from celebahq_tools.errors import ShapeError
from celebahq_tools.rank.rings import Float32Array, Float64Array, build_block_rings, build_image_rings, pack_power

MIN_SIZE = 64
MAX_SIZE = 1024
COMPONENT_NAMES = ("breadth", "asymmetry", "excess", "noise")

# Keeps the logarithm of an empty spectrum finite; far below the 1/12 of rounding to whole grey levels.
_POWER_FLOOR = 1e-4
# The mean of the log of an exponential variable is -gamma: adding it makes log-mean and mean-log of a Gaussian
# field equal.
_LOG_MEAN_BIAS = float(np.euler_gamma)
_VISIBLE_NOISE = 0.5  # grey levels squared
_SPIKE_FLOOR = 5.0  # grey levels squared: a spectral line weaker than this is not held against a picture
_SNR_RANGE = 4.0  # natural-log units: 17 dB above the noise counts as full signal
_ASYMMETRY_WEIGHT, _ASYMMETRY_FREE = 0.2, 0.15
_EXCESS_WEIGHT, _EXCESS_FREE = 0.1, 0.3
_STRIP_ROWS = 32
# Blocks that the noise is measured in, at least, even if they hold some padding.
_MIN_BLOCKS = 12
# The mask of the photograph is looked at every so many pixels.
_MASK_STEP = 8


@dataclass(frozen=True)
class QualityScore:
    """Quality of one picture; higher is better.

    Attributes:
        value: The score Q. Photographs lie between about -1 and 1.
        components: The named measurements it is made of: those of `COMPONENT_NAMES`, then what else went into it.
    """

    value: float
    components: Mapping[str, float]

    def __post_init__(self) -> None:
        if tuple(self.components)[: len(COMPONENT_NAMES)] != COMPONENT_NAMES:
            raise ShapeError(f"components: got {tuple(self.components)}, need {COMPONENT_NAMES} first")
        if not all(math.isfinite(number) for number in (self.value, *self.components.values())):
            raise ShapeError(f"score: {self.value} {dict(self.components)} holds a number that is not finite")
        object.__setattr__(self, "components", MappingProxyType(dict(self.components)))

    def __reduce__(self) -> tuple[type[QualityScore], tuple[float, dict[str, float]]]:
        # A read-only mapping cannot be pickled, and scores travel between worker processes.
        return type(self), (self.value, dict(self.components))


@dataclass(frozen=True)
class RingSpectrum:
    """Radial power spectrum of one picture, in grey levels squared: white noise of variance s^2 has power s^2.

    Attributes:
        frequency: Centres f of the rings, fractions of the Nyquist frequency, shape (K,).
        log_frequency: Mean of ln f over each ring.
        log_mean: ln of the arithmetic mean of the power over each ring.
        mean_log: Mean over each ring of ln power, corrected by Euler's gamma: equal to `log_mean` for an isotropic
            Gaussian field, lower where the power of a ring is concentrated in few directions.
    """

    frequency: Float64Array
    log_frequency: Float64Array
    log_mean: Float64Array
    mean_log: Float64Array

    @property
    def whitened(self) -> Float64Array:
        """Mean over each ring of ln(power * f^2), corrected likewise: flat for a typical photograph."""
        return self.mean_log + 2 * self.log_frequency


def score_spectrum(pixels: NDArray[np.uint8], photo: NDArray[np.bool_] | None = None) -> QualityScore:
    """Return the frequency-based quality score of a picture.

    Q = breadth - 0.2 ln(1 + max(asymmetry - 0.15, 0)) - 0.1 max(excess - 0.3, 0); docs/ranking.md has the
    definition of each term. It puts into numbers the aim of Karras et al. 2018, appendix C: a power spectrum
    that "contains a broad range of frequencies and is approximately radially symmetric". Deterministic, and
    independent of the number of threads. Scores of pictures of different size are not comparable.

    Args:
        pixels: (n, n, 3) uint8 RGB, n a power of two from 64 to 1024.
        photo: (n, n), which pixels are photograph and not padding; all if omitted. Only these say how strong the noise
            is, and the power is measured per area of photograph: padding neither earns nor costs anything here.
    Returns:
        The score with breadth (0..1, share of octaves with detail above the noise), asymmetry (>= 0, natural-log
        units, strength of the strongest spectral line), excess (>= 0, natural-log units, rise of the whitened
        spectrum above its low end) and noise (the local noise power at high frequency, grey levels squared).
        A picture of one colour has breadth 0 and scores -0.49 at n = 1024.
    Raises:
        ShapeError: If the pixels are not (n, n, 3) uint8 with such an n.
    """
    return score_luma(prepare_luma(pixels), photo)[0]


def prepare_luma(pixels: NDArray[np.uint8]) -> Float32Array:
    """Return the luma of a picture, (n, n) float32 in grey levels, not rounded.

    Raises:
        ShapeError: If the pixels are not (n, n, 3) uint8 with n a power of two from 64 to 1024.
    """
    _check_pixels(pixels)
    return _compute_luma(pixels)


def score_luma(luma: Float32Array, photo: NDArray[np.bool_] | None = None) -> tuple[QualityScore, float]:
    """Return what :func:`score_spectrum` does, of a luma whose memory is used up, and the tilt of its spectrum.

    The tilt is the mean of the whitened spectrum over 0.4 <= f <= 0.8 minus that over 0.05 <= f <= 0.15: how much the
    finest detail falls short of the coarse, in natural-log units.

    Raises:
        ShapeError: If ``photo`` has another shape.
    """
    if photo is not None and photo.shape != luma.shape:
        raise ShapeError(f"score: the mask of the photograph has shape {photo.shape}, the picture {luma.shape}")
    noise = _measure_noise(luma, photo)
    spectrum = _measure_rings(luma)
    # Expected power is in proportion to the squared window over the photograph; what is padding has next to none.
    share = 1.0 if photo is None else _measure_window_share(photo)
    breadth = _measure_breadth(spectrum, noise, -math.log(share))
    asymmetry = _measure_asymmetry(spectrum)
    excess = _measure_excess(spectrum)
    value = breadth - weigh_asymmetry(asymmetry) - _EXCESS_WEIGHT * max(excess - _EXCESS_FREE, 0.0)
    components = dict(zip(COMPONENT_NAMES, (breadth, asymmetry, excess, float(noise[-1])), strict=True))
    f = spectrum.frequency
    fine, coarse = (f >= 0.4) & (f <= 0.8), (f >= 0.05) & (f <= 0.15)
    tilt = float(spectrum.whitened[fine].mean() - spectrum.whitened[coarse].mean())
    return QualityScore(value, components), tilt


def weigh_asymmetry(asymmetry: float) -> float:
    """Return what a spectral line takes from the score."""
    return _ASYMMETRY_WEIGHT * math.log1p(max(asymmetry - _ASYMMETRY_FREE, 0.0))


def measure_spectrum(pixels: NDArray[np.uint8]) -> RingSpectrum:
    """Return the radial power spectrum that the score is made of, for plots and checks.

    Args:
        pixels: (n, n, 3) uint8 RGB, n a power of two from 64 to 1024.
    Returns:
        64 rings (32 at n = 128, 16 at n = 64).
    Raises:
        ShapeError: If the pixels are not (n, n, 3) uint8 with such an n.
    """
    _check_pixels(pixels)
    return _measure_rings(_compute_luma(pixels))


def _check_pixels(pixels: NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.shape[0] != pixels.shape[1]:
        raise ShapeError(f"score: got {pixels.shape} {pixels.dtype}, need square RGB pixels (n, n, 3) uint8")
    size = pixels.shape[0]
    if not MIN_SIZE <= size <= MAX_SIZE or size & (size - 1):
        raise ShapeError(
            f"score: got {size}x{size} pixels, need a power of two from {MIN_SIZE} to {MAX_SIZE}; resize the picture"
        )


def _compute_luma(pixels: NDArray[np.uint8]) -> Float32Array:
    """Return Y = 0.299 R + 0.587 G + 0.114 B, not rounded: on floats cv2 uses these very weights."""
    luma = np.empty(pixels.shape[:2], dtype=np.float32)
    for top in range(0, len(pixels), _STRIP_ROWS):  # the float RGB of a strip stays in cache
        strip = pixels[top : top + _STRIP_ROWS].astype(np.float32)
        cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY, dst=luma[top : top + _STRIP_ROWS])
    return luma


@cache
def _make_window(size: int) -> Float32Array:
    """Return the separable Hann window (size, size), scaled so that white noise keeps its variance as power.

    It is the periodic one: what is constant leaks no further than one bin.
    """
    side = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    window = (np.outer(side, side) / np.sum(side**2)).astype(np.float32)
    window.setflags(write=False)
    return window


def _measure_rings(luma: Float32Array) -> RingSpectrum:
    """Return the ring spectrum of a picture, in whose own memory it works: new pages cost as much as the transform."""
    window = _make_window(len(luma))
    rings = build_image_rings(len(luma))
    np.multiply(luma, window, out=luma)
    mean = cv2.sumElems(luma)[0] / (len(luma) * 2 / 3)  # the window sums to (n/2)^2 / (3n/8)
    cv2.scaleAdd(window, -mean, luma, dst=luma)
    cv2.dft(luma, dst=luma)
    power = rings.gather(pack_power(luma))
    power += np.float32(_POWER_FLOOR)
    log_mean = np.log(rings.average(power).astype(np.float64))
    mean_log = rings.average(np.log(power, out=power)).astype(np.float64) + _LOG_MEAN_BIAS
    return RingSpectrum(rings.frequency, rings.log_frequency, log_mean, mean_log)


def _measure_window_share(photo: NDArray[np.bool_]) -> float:
    """Return which part of the squared window lies over the photograph, from every eighth pixel; at least 0.01."""
    sample = (slice(_MASK_STEP // 2, None, _MASK_STEP),) * 2
    weight = np.square(_make_window(len(photo))[sample])
    return max(float(weight[photo[sample]].sum() / weight.sum()), 0.01)


def _choose_blocks(photo: NDArray[np.bool_], corners: range, block: int) -> NDArray[np.intp]:
    """Return the blocks that lie in the photograph, in row order; at least twelve, the fullest if need be."""
    step = min(_MASK_STEP, block // 2)
    inner = photo[corners.start : corners.stop : step, corners.start : corners.stop : step]
    count = len(corners)
    filled = inner.reshape(count, block // step, count, block // step).mean(axis=(1, 3)).ravel()
    whole = np.flatnonzero(filled == 1.0)
    return whole if len(whole) >= _MIN_BLOCKS else np.argsort(-filled, kind="stable")[:_MIN_BLOCKS]


def _measure_noise(luma: Float32Array, photo: NDArray[np.bool_] | None = None) -> Float64Array:
    """Return the noise power N(f) at every image ring: what even the quietest tenth of the blocks holds."""
    size = len(luma)
    block = max(16, min(64, size // 8))
    rings = build_block_rings(block)
    window = _make_window(block)
    corners = range(size // 8, size * 7 // 8, block)
    packed = np.empty((len(corners), block, block), dtype=np.float32)
    means = []
    # The mean of a block needs no taking off: the window keeps it within a radius of 1.5, and the rings begin at 2.
    for top in corners:  # one row of blocks at a time stays in cache
        for spectrum, left in zip(packed, corners, strict=True):
            cv2.dft(luma[top : top + block, left : left + block] * window, dst=spectrum)
        means.append(rings.average(rings.gather(pack_power(packed))))
    every = np.concatenate(means)
    if photo is not None:
        every = every[_choose_blocks(photo, corners, block)]
    quiet = np.percentile(every, 10, axis=0).astype(np.float64)
    plateau = float(quiet[rings.frequency >= 25 / 32].mean())
    frequency = np.maximum(build_image_rings(size).frequency, 0.4)
    local = 0.25 * np.interp(frequency, rings.frequency, quiet)
    return np.maximum(plateau, local) + _VISIBLE_NOISE


def _measure_breadth(spectrum: RingSpectrum, noise: Float64Array, gain: float = 0.0) -> float:
    """Return the share of octaves with detail above the noise; `gain` is added to the logarithm of the power."""
    f = spectrum.frequency
    half_width = f[0]
    used = (f >= 1 / 32) & (f > half_width) & (f <= 0.98)
    octaves = np.log2((f[used] + half_width) / (f[used] - half_width))
    # The ring's mean of ln f goes in, the ln of its centre comes out, as the definition has it: a matter of 0.001.
    signal = (spectrum.whitened + gain - 2 * np.log(f) - np.log(noise))[used]
    return float(np.sum(octaves * np.clip(signal / _SNR_RANGE, 0, 1)) / octaves.sum())


def _measure_asymmetry(spectrum: RingSpectrum) -> float:
    """Return by how much the strongest spectral line sticks out of its neighbouring rings."""
    spread = np.log((np.exp(spectrum.log_mean) + _SPIKE_FLOOR) / (np.exp(spectrum.mean_log) + _SPIKE_FLOOR))
    typical = scipy.ndimage.median_filter(spread, _scale_span(9, len(spread)), mode="nearest")
    return float(np.max((spread - typical)[spectrum.frequency >= 1 / 16]))


def _measure_excess(spectrum: RingSpectrum) -> float:
    """Return by how much the whitened spectrum rises above its low end: noise, dither or print screens."""
    f = spectrum.frequency
    smooth = scipy.ndimage.uniform_filter1d(spectrum.whitened, _scale_span(5, len(f)), mode="nearest")
    low = float(spectrum.whitened[(f >= 0.03) & (f <= 0.1)].mean())
    return max(0.0, float(np.max(smooth[(f >= 0.12) & (f <= 0.8)])) - low)


def _scale_span(span: int, rings: int) -> int:
    """Return an odd number of rings that spans as much frequency as `span` of 64 rings."""
    return 2 * (span * rings // 64 // 2) + 1
