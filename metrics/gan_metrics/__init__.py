"""Scores of generated images against real ones; works on iterables of NCHW uint8 batches and opens no files.

>>> from gan_metrics import MetricSettings, SlicedWasserstein
>>> swd = SlicedWasserstein(MetricSettings(seed=0))
>>> swd.update_reals(real_batch)  # (N, 3, H, W) uint8, as often as you like    # doctest: +SKIP
>>> swd.update_fakes(fake_batch)  # doctest: +SKIP
>>> swd.compute().values["SWDx1e3_avg"]  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gan_metrics.base import METRICS, Metric, MetricResult, MetricSettings

if TYPE_CHECKING:
    from gan_metrics.fid import FrechetInceptionDistance
    from gan_metrics.inception_score import InceptionScore
    from gan_metrics.kid import KernelInceptionDistance
    from gan_metrics.ms_ssim import MultiScaleSSIM
    from gan_metrics.prdc import PrecisionRecall
    from gan_metrics.swd import SlicedWasserstein

# Imported when first asked for: some need torch, which takes seconds to load.
_LAZY = {
    "FrechetInceptionDistance": "gan_metrics.fid",
    "InceptionScore": "gan_metrics.inception_score",
    "KernelInceptionDistance": "gan_metrics.kid",
    "MultiScaleSSIM": "gan_metrics.ms_ssim",
    "PrecisionRecall": "gan_metrics.prdc",
    "SlicedWasserstein": "gan_metrics.swd",
}

__all__ = [
    "METRICS",
    "FrechetInceptionDistance",
    "InceptionScore",
    "KernelInceptionDistance",
    "Metric",
    "MetricResult",
    "MetricSettings",
    "MultiScaleSSIM",
    "PrecisionRecall",
    "SlicedWasserstein",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
