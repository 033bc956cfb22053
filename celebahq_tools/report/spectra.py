"""A face's power spectrum, as people look at it: the plane of frequencies, and its radial profile."""

from __future__ import annotations

import cv2
import numpy as np
import scipy.fft
from markupsafe import Markup
from PIL import Image

from celebahq_tools.pages import plots
from celebahq_tools.rank.spectrum import RingSpectrum
from celebahq_tools.types import Pixels

# Natural-log units of power shown from black to white: from just below rounding noise to a bright photograph's middle.
_DARK, _BRIGHT = -4.0, 16.0


def draw_power_spectrum(pixels: Pixels, *, side: int = 256) -> Image.Image:
    """Return the logarithm of the power spectrum as a picture, frequency 0 in the middle, Nyquist at the edges.

    The luma is windowed as for the score, so that what is constant does not leak; an even, round glow is what the score
    favours, lines and crosses are print screens, blocks and moire.

    Args:
        pixels: (n, n, 3) uint8 RGB.
        side: Of the picture; the power is averaged over the bins that fall into one of its pixels.
    Returns:
        A picture of ``side`` pixels, or of n when that is fewer.
    """
    size = len(pixels)
    luma = cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2GRAY)
    one = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    window = (np.outer(one, one) / np.sum(one**2)).astype(np.float32)
    mean = np.float32((luma * window).sum() / window.sum())
    power = np.abs(np.fft.fftshift(scipy.fft.fft2((luma - mean) * window))).astype(np.float32) ** 2
    if size > side:
        power = cv2.resize(power, (side, side), interpolation=cv2.INTER_AREA)
    level = (np.log(power + 1e-4) - _DARK) / (_BRIGHT - _DARK)
    from matplotlib import colormaps

    colors = colormaps["magma"](np.clip(level, 0, 1), bytes=True)
    return Image.fromarray(np.ascontiguousarray(colors[..., :3]))


def draw_profile(spectrum: RingSpectrum, *, name: str) -> Markup:
    """Return the radial profile as a plot: the whitened power over frequency, flat for a typical sharp photograph.

    Args:
        spectrum: As of :func:`celebahq_tools.rank.spectrum.measure_spectrum`.
        name: Unique on the page.
    """
    figure, axes = plots.start_plot(width=5.4, height=3.2, margins=(0.1, 0.15, 0.98, 0.97))
    axes.plot(spectrum.frequency, spectrum.whitened, color=plots.SERIES[0], linewidth=1.6, label="mean of the log")
    axes.plot(
        spectrum.frequency,
        spectrum.log_mean + 2 * spectrum.log_frequency,
        color=plots.SERIES[1],
        linewidth=1.0,
        label="log of the mean",
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks([1 / 64, 1 / 16, 1 / 4, 1], ["1/64", "1/16", "1/4", "1"])
    axes.minorticks_off()
    axes.set_xlim(float(spectrum.frequency[0]), 1.0)
    axes.set_xlabel("frequency / Nyquist")
    axes.set_ylabel("ln(power × f²)")
    plots.add_legend(axes, loc="lower left")
    low, high = float(spectrum.whitened.min()), float(spectrum.whitened.max())
    alt = f"Radial profile of the power spectrum; the whitened power lies between {low:.1f} and {high:.1f}"
    return plots.finish_plot(figure, name=name, alt=alt)
