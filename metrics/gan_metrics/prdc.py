"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) of Inception features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, ShapeError
from gan_metrics.base import MetricResult, Progress
from gan_metrics.features import FeatureMetric, require_features

NEAREST = 5
_BLOCK = 1024


def compute_prdc(
    reals: NDArray[np.floating[Any]],
    fakes: NDArray[np.floating[Any]],
    nearest: int = NEAREST,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Return precision, recall, density and coverage.

    A ball around each sample reaches to its ``nearest``-th neighbour in its own set. Precision: fakes inside any
    real's ball. Recall: reals inside any fake's ball. Density: balls of reals a fake lies in, over ``nearest``.
    Coverage: reals with a fake inside their ball. A point on the border lies outside.

    Args:
        reals, fakes: (M, D) and (N, D).
        nearest: Which neighbour, not counting the sample itself.
        progress: Called with (blocks done, blocks in all).
    Raises:
        ShapeError: If the shapes do not fit together.
        InputError: If a set is not larger than ``nearest``.
    """
    if reals.ndim != 2 or fakes.ndim != 2 or reals.shape[1] != fakes.shape[1]:
        raise ShapeError(f"features of one length are needed, got {reals.shape} and {fakes.shape}")
    if min(len(reals), len(fakes)) <= nearest:
        raise InputError(f"precision and recall need more than {nearest} images each: {len(reals)} and {len(fakes)}")
    real_rows, fake_rows = reals.astype(np.float64), fakes.astype(np.float64)
    blocks = 2 * -(-len(reals) // _BLOCK) + -(-len(fakes) // _BLOCK)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, blocks)

    real_radii = _measure_radii(real_rows, nearest, advance)
    fake_radii = _measure_radii(fake_rows, nearest, advance)
    inside_any_real = np.zeros(len(fakes), dtype=bool)
    balls = np.zeros(len(fakes), dtype=np.int64)
    recalled = covered = 0
    for start in range(0, len(reals), _BLOCK):
        distances = _square_distances(real_rows[start : start + _BLOCK], fake_rows)
        inside = distances < real_radii[start : start + _BLOCK, None]
        inside_any_real |= inside.any(axis=0)
        balls += inside.sum(axis=0)
        recalled += int((distances < fake_radii).any(axis=1).sum())
        covered += int((distances.min(axis=1) < real_radii[start : start + _BLOCK]).sum())
        advance()
    return {
        "precision": float(inside_any_real.mean()),
        "recall": recalled / len(reals),
        "density": float(balls.mean()) / nearest,
        "coverage": covered / len(reals),
    }


def _measure_radii(rows: NDArray[np.float64], nearest: int, advance: Callable[[], None]) -> NDArray[np.float64]:
    """Return the squared distance of each row to its nearest-th other row."""
    radii = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        stop = min(start + _BLOCK, len(rows))
        distances = _square_distances(rows[start:stop], rows)
        # A row is its own neighbour at distance 0, which rounding must not push behind another.
        distances[np.arange(stop - start), np.arange(start, stop)] = -1.0
        radii[start:stop] = np.partition(distances, nearest, axis=1)[:, nearest]
        advance()
    return radii


def _square_distances(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    distances = x @ y.T
    distances *= -2
    distances += np.square(x).sum(axis=1)[:, None]
    distances += np.square(y).sum(axis=1)
    return np.maximum(distances, 0, out=distances)


class PrecisionRecall(FeatureMetric):
    """Precision, recall, density and coverage with the fifth neighbour.

    Args:
        settings: Uses ``device`` and ``inception_weights``.
    """

    name = "prdc"
    title = "Precision, recall, density, coverage"

    def compute(self, progress: Progress | None = None) -> MetricResult:
        """Return ``precision``, ``recall``, ``density`` and ``coverage``; see :meth:`Metric.compute`."""
        for bank, name in ((self.reals, "reals"), (self.fakes, "fakes")):
            require_features(bank, name, NEAREST + 1, self.name)
        values = compute_prdc(self.reals.sort_rows(), self.fakes.sort_rows(), progress=progress)
        return MetricResult(
            self.name, values, len(self.fakes), details={"nearest": NEAREST, "num_reals": len(self.reals)}
        )
