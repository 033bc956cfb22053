"""Frechet inception distance (Heusel et al. 2017), and its value for infinitely many images (Chong & Forsyth 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpstrf

from celebahq_tools.errors import InputError, ShapeError
from gan_metrics.base import Batch, Metric, MetricResult, MetricSettings, Progress, StreamedArray, check_batch
from gan_metrics.features import FeatureBank, get_extractor, require_features
from gan_metrics.inception import NUM_FEATURES

_INFINITY_POINTS = 15
_INFINITY_LEAST = 5000


class StreamingMoments:
    """Mean and covariance of rows given bit by bit, in float64 (the update of Chan, Golub and LeVeque).

    Args:
        length: Row length.
    """

    def __init__(self, length: int) -> None:
        self.count = 0
        self.mean = np.zeros(length)
        self._scatter = np.zeros((length, length))

    def update(self, rows: NDArray[np.float32]) -> None:
        """Add rows (N, length)."""
        if not len(rows):
            return
        values = rows.astype(np.float64)
        mean = values.mean(axis=0)
        values -= mean
        gap = mean - self.mean
        total = self.count + len(rows)
        self._scatter += values.T @ values
        self._scatter += np.outer(gap, gap * (self.count * len(rows) / total))
        self.mean += gap * (len(rows) / total)
        self.count = total

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Sample covariance (length, length), divided by count - 1.

        Raises:
            InputError: If there are fewer than two rows.
        """
        if self.count < 2:
            raise InputError(f"a covariance needs at least two images, got {self.count}")
        return self._scatter / (self.count - 1)

    @classmethod
    def restore(cls, count: int, mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> StreamingMoments:
        """Return the moments that have this mean and covariance."""
        moments = cls(len(mean))
        moments.count, moments.mean, moments._scatter = count, mean.copy(), covariance * (count - 1)
        return moments


def frechet_distance(
    mean_a: NDArray[np.float64],
    covariance_a: NDArray[np.float64],
    mean_b: NDArray[np.float64],
    covariance_b: NDArray[np.float64],
) -> float:
    """Return the squared Frechet distance between two normal distributions.

    ``|m_a - m_b|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2))``, never below 0.

    Args:
        mean_a, mean_b: (D,).
        covariance_a, covariance_b: (D, D), symmetric.
    Raises:
        ShapeError: If the shapes do not fit together or a value is not finite.
    """
    parts = (mean_a, covariance_a, mean_b, covariance_b)
    if {part.shape for part in parts} != {mean_a.shape, (len(mean_a), len(mean_a))}:
        raise ShapeError(f"means and covariances of one size are needed, got {[part.shape for part in parts]}")
    if not all(np.isfinite(part).all() for part in parts):
        raise ShapeError("a mean or covariance is not finite; were the features?")
    gap = mean_a - mean_b
    distance = gap @ gap + np.trace(covariance_a) + np.trace(covariance_b)
    return max(float(distance - 2 * trace_of_root(covariance_a, covariance_b)), 0.0)


def trace_of_root(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the trace of the square root of A B, for symmetric positive semi-definite A and B.

    A B has the eigenvalues of the symmetric R^T B R for any R with R R^T = A, so the root of a general matrix is never
    needed. R is the pivoted Cholesky factor, which has only as many columns as A has rank: with fewer images than
    features the eigenvalue problem is as small as their number. What rounding makes slightly negative counts as 0.

    Args:
        a, b: (D, D) float64.
    """
    factor, pivots, rank, _ = dpstrf(a, lower=1)
    root = np.empty((len(a), rank))
    root[pivots - 1] = np.tril(factor)[:, :rank]
    product = root.T @ b @ root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    return float(np.sqrt(np.clip(eigenvalues, 0, None)).sum())


class FrechetInceptionDistance(Metric):
    """FID between InceptionV3 features; ``--fid-infinity`` adds its extrapolation to infinitely many fakes.

    FID of finitely many images is too high by about a constant over N, and the constant differs from generator to
    generator; the extrapolation fits a line over 1/N through subsets of the fakes.

    Args:
        settings: Uses ``device``, ``inception_weights``, ``fid_infinity`` and ``seed``.
    """

    name = "fid"
    title = "Frechet inception distance"

    def __init__(self, settings: MetricSettings | None = None) -> None:
        super().__init__(settings)
        self.extractor = get_extractor(self.settings)
        self._reals = StreamingMoments(NUM_FEATURES)
        self.clear_fakes()

    def update_reals(self, batch: Batch) -> None:
        """Add real images; see :meth:`Metric.update_reals`."""
        self._reals.update(self.extractor.extract(check_batch(batch)).pool)

    def update_fakes(self, batch: Batch) -> None:
        """Add generated images; see :meth:`Metric.update_fakes`."""
        features = self.extractor.extract(check_batch(batch))
        self._fakes.update(features.pool)
        if self.settings.fid_infinity:
            self._bank.append(features.digests, features.pool)

    def clear_fakes(self) -> None:
        """Forget the fakes and keep the reals."""
        self._fakes = StreamingMoments(NUM_FEATURES)
        self._bank = FeatureBank()

    def compute(self, progress: Progress | None = None) -> MetricResult:
        """Return ``fid`` and, if wanted, ``fid_infinity``; see :meth:`Metric.compute`."""
        report = progress or _ignore
        steps = 1 + (_INFINITY_POINTS if self.settings.fid_infinity else 0)
        reals = (self._reals.mean, self._reals.covariance)
        values = {"fid": frechet_distance(*reals, self._fakes.mean, self._fakes.covariance)}
        report(1, steps)
        notes = []
        count = self._fakes.count
        if min(count, self._reals.count) <= NUM_FEATURES:
            notes.append(f"with {NUM_FEATURES} images or fewer a covariance is singular and FID far too high")
        if self._reals.count != count:
            notes.append(f"the statistics of the reals come from {self._reals.count} images")
        if count < 50000:
            notes.append("the paper uses 50000 fakes; FID depends on the number, compare only equal ones")
        details: dict[str, Any] = {"num_reals": self._reals.count}
        if self.settings.fid_infinity:
            values["fid_infinity"], details["fid_by_images"] = self._extrapolate(reals, report, steps)
            if count < 2 * _INFINITY_LEAST:
                notes.append(f"fid_infinity is rough below {2 * _INFINITY_LEAST} fakes")
        return MetricResult(self.name, values, count, notes=tuple(notes), details=details)

    def export_reals(self) -> dict[str, NDArray[Any] | StreamedArray]:
        """Return count, mean and covariance of the reals' features."""
        covariance = self._reals.covariance
        return {"count": np.array(self._reals.count), "mean": self._reals.mean, "covariance": covariance}

    def load_reals(self, arrays: Mapping[str, Any]) -> None:
        """Take the place of :meth:`update_reals`."""
        mean, covariance = np.asarray(arrays["mean"]), np.asarray(arrays["covariance"])
        self._reals = StreamingMoments.restore(int(np.asarray(arrays["count"])), mean, covariance)

    def _extrapolate(
        self, reals: tuple[NDArray[np.float64], NDArray[np.float64]], report: Progress, steps: int
    ) -> tuple[float, dict[str, float]]:
        require_features(self._bank, "fakes", _INFINITY_POINTS, "--fid-infinity")
        rows = self._bank.sort_rows()
        rng = np.random.default_rng(self.settings.seed)
        least = _INFINITY_LEAST if len(rows) >= 2 * _INFINITY_LEAST else len(rows) // 2
        sizes = np.unique(np.linspace(least, len(rows), _INFINITY_POINTS).astype(int))
        found = []
        for done, size in enumerate(sizes):
            moments = StreamingMoments(rows.shape[1])
            moments.update(rows[rng.choice(len(rows), size, replace=False)])
            found.append(frechet_distance(*reals, moments.mean, moments.covariance))
            report(2 + done, steps)
        return extrapolate_to_infinity(sizes, np.array(found)), {
            str(size): value for size, value in zip(sizes.tolist(), found, strict=True)
        }


def _ignore(done: int, total: int) -> None:
    """Take the place of a progress callback."""


def extrapolate_to_infinity(sizes: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Return the value at 1/N = 0 of the least-squares line through (1/size, value)."""
    slope_and_intercept = np.polyfit(1 / np.asarray(sizes, dtype=np.float64), values, 1)
    return float(slope_and_intercept[1])
