"""Kernel inception distance (Binkowski et al. 2018): an unbiased distance between Inception features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ShapeError
from gan_metrics.base import MetricResult, Progress
from gan_metrics.features import FeatureMetric, require_features

SUBSETS = 100
SUBSET_SIZE = 1000


def polynomial_mmd(x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> float:
    """Return the unbiased squared maximum mean discrepancy with the kernel ``(x.y / D + 1)^3``.

    Unbiased means it may be negative; around 0 for two sets of one distribution.

    Args:
        x, y: (M, D) and (N, D), at least two rows each.
    Raises:
        ShapeError: If the shapes do not fit together.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ShapeError(f"two sets of at least two rows of one length are needed, got {x.shape} and {y.shape}")
    rows_x: NDArray[np.float64] = x.astype(np.float64)
    rows_y: NDArray[np.float64] = y.astype(np.float64)

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        base = a @ b.T
        base /= a.shape[1]
        base += 1
        return base * base * base

    within_x, within_y = kernel(rows_x, rows_x), kernel(rows_y, rows_y)
    mean_x = (within_x.sum() - np.trace(within_x)) / (len(x) * (len(x) - 1))
    mean_y = (within_y.sum() - np.trace(within_y)) / (len(y) * (len(y) - 1))
    return float(mean_x + mean_y - 2 * kernel(rows_x, rows_y).mean())


class KernelInceptionDistance(FeatureMetric):
    """KID: the mean over 100 random subsets of 1000 images of each set, or of all images where there are fewer.

    Args:
        settings: Uses ``device``, ``inception_weights`` and ``seed``.
    """

    name = "kid"
    title = "Kernel inception distance"

    def compute(self, progress: Progress | None = None) -> MetricResult:
        """Return ``kid`` and the standard deviation over subsets, ``kid_subset_std``.

        Raises:
            InputError: If a set has fewer than two images.
        """
        require_features(self.reals, "reals", 2, self.name)
        require_features(self.fakes, "fakes", 2, self.name)
        reals, fakes = self.reals.sort_rows(), self.fakes.sort_rows()
        size = min(SUBSET_SIZE, len(reals), len(fakes))
        # With no more images than a subset holds, all subsets are the same.
        subsets = SUBSETS if max(len(reals), len(fakes)) > size else 1
        rng = np.random.default_rng(self.settings.seed)
        found = []
        for done in range(subsets):
            chosen = (rows[rng.choice(len(rows), size, replace=False)] for rows in (reals, fakes))
            found.append(polynomial_mmd(*chosen))
            if progress is not None:
                progress(done + 1, subsets)
        values = {"kid": float(np.mean(found))}
        if subsets > 1:
            values["kid_subset_std"] = float(np.std(found))
        return MetricResult(
            self.name,
            values,
            len(fakes),
            notes=()
            if size == SUBSET_SIZE
            else (f"{subsets} x {size} images, where subsets of {SUBSET_SIZE} are usual",),
            details={"subsets": subsets, "subset_size": size, "num_reals": len(reals)},
        )
