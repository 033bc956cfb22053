"""Inception Score (Salimans et al. 2016), with the user's own InceptionV3 weights and no other classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ShapeError, WeightsError
from gan_metrics.base import Batch, Metric, MetricResult, MetricSettings, Progress, check_batch
from gan_metrics.features import FeatureBank, get_extractor, require_features
from gan_metrics.inception import LOGITS_HELP

SPLITS = 10


def score_logits(logits: NDArray[np.floating[Any]], splits: int = SPLITS) -> tuple[float, float]:
    """Return mean and standard deviation over splits of ``exp(mean KL(p(y|x) || p(y)))``.

    It is the Inception Score only if the logits come from the 2015-12-05 InceptionV3.

    Args:
        logits: (N, classes).
        splits: How many parts, of equal size but for rounding.
    Raises:
        ShapeError: If there are fewer images than splits.
    """
    if logits.ndim != 2 or len(logits) < splits:
        raise ShapeError(f"expected (N, classes) with N >= {splits}, got {logits.shape}")
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    scores = []
    for part in np.array_split(log_p, splits):
        p = np.exp(part)
        # A class nobody gets has p = 0 everywhere and adds nothing.
        log_marginal = np.log(np.maximum(p.mean(axis=0), np.finfo(np.float64).tiny))
        scores.append(np.exp((p * (part - log_marginal)).sum(axis=1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


class InceptionScore(Metric):
    """Inception Score of the fakes over ten splits; the reals play no part.

    Args:
        settings: Uses ``device`` and ``inception_weights``, without which it refuses to start.
    """

    name = "is"
    title = "Inception Score"
    needs_reals = False

    def __init__(self, settings: MetricSettings | None = None) -> None:
        super().__init__(settings)
        if self.settings.inception_weights is None:
            raise WeightsError(LOGITS_HELP)
        self.extractor = get_extractor(self.settings)
        self._logits = FeatureBank()

    def update_reals(self, batch: Batch) -> None:
        """Check real images and ignore them."""
        check_batch(batch)

    def update_fakes(self, batch: Batch) -> None:
        """Add generated images; see :meth:`Metric.update_fakes`."""
        features = self.extractor.extract(check_batch(batch))
        if features.logits is None:
            raise WeightsError(LOGITS_HELP)
        self._logits.append(features.digests, features.logits)

    def clear_fakes(self) -> None:
        """Forget the fakes."""
        self._logits = FeatureBank()

    def compute(self, progress: Progress | None = None) -> MetricResult:
        """Return ``is_mean`` and ``is_std`` over ten splits.

        Raises:
            InputError: If there are fewer than ten fakes.
        """
        require_features(self._logits, "fakes", SPLITS, self.name)
        mean, std = score_logits(self._logits.sort_rows())
        if progress is not None:
            progress(1, 1)
        count = len(self._logits)
        notes = ("the paper uses 50000 fakes; the score grows with their number",) if count < 50000 else ()
        return MetricResult(self.name, {"is_mean": mean, "is_std": std}, count, notes=notes, details={"splits": SPLITS})
