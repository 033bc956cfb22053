"""CPU time of the quality score: `python -m benchmarks.bench_rank`, or `pytest benchmarks/bench_rank.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
import scipy.fft
import skimage.data
from PIL import Image

from celebahq_tools.rank.spectrum import score_spectrum

ROUNDS = 41


def make_photograph(size: int = 1024) -> np.ndarray:
    """Return a real photograph, (size, size, 3) uint8."""
    return np.asarray(Image.fromarray(skimage.data.astronaut()).resize((size, size), Image.Resampling.LANCZOS))


def test_score_of_one_1024_photograph(benchmark: Any) -> None:
    """The whole score."""
    benchmark(score_spectrum, make_photograph())


def test_one_float32_rfft2_of_1024_for_comparison(benchmark: Any) -> None:
    """One transform of the luma, the yardstick."""
    luma = cv2.cvtColor(make_photograph(), cv2.COLOR_RGB2GRAY).astype(np.float32)
    benchmark(scipy.fft.rfft2, luma, workers=1)


def _time_once(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e3


def main() -> None:
    """Print medians of CPU milliseconds, the two measured in turn, and their ratio."""
    pixels = make_photograph()
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    score_spectrum(pixels)
    scores, transforms = [], []
    for _ in range(ROUNDS):
        scores.append(_time_once(lambda: score_spectrum(pixels)))
        transforms.append(_time_once(lambda: scipy.fft.rfft2(luma, workers=1)))
    ratio = median(s / t for s, t in zip(scores, transforms, strict=True))
    print(
        f"score {median(scores):.1f} ms (fastest {min(scores):.1f}), one rfft2 {median(transforms):.1f} ms "
        f"(fastest {min(transforms):.1f}), ratio {ratio:.2f}; CPU time, median of {ROUNDS}"
    )


if __name__ == "__main__":
    main()
