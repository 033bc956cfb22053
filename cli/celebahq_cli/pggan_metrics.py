"""Scores during training: the trainer's snapshots handed to the metrics, which know nothing of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gan_metrics import METRICS, Metric, MetricSettings

from celebahq_tools.errors import ConfigError, InputError, suggest
from celebahq_tools.source.decoding import spread_grey

if TYPE_CHECKING:
    from pggan_core.gallery import Snapshot

# The paper's number of images for SWD; a smaller dataset gives all it has.
_MOST_IMAGES = 16384


def require_metrics(names: tuple[str, ...]) -> None:
    """Raise ConfigError if a metric is unknown."""
    unknown = next((name for name in names if name not in METRICS), None)
    if unknown is not None:
        raise ConfigError(f"unknown metric {unknown!r}{suggest(unknown, METRICS)}")


class Scorer:
    """Scores every snapshot against the same reals, whose statistics are kept between snapshots.

    Args:
        names: Metrics, by their registry names.
        images: Images per set; 0 takes the dataset, at most 16,384.
        seed: Seed of the metrics.
    Raises:
        ConfigError: If a metric is unknown.
    """

    def __init__(self, names: tuple[str, ...], images: int, seed: int) -> None:
        require_metrics(names)
        self._images = images
        settings = MetricSettings(seed=seed, floor=False)
        self._metrics: list[Metric] = [METRICS.load(name)(settings) for name in names]
        self._has_reals = False

    def __call__(self, snapshot: Snapshot) -> dict[str, float]:
        """Return all scores of a snapshot by name.

        Raises:
            InputError: If more images are asked for than the dataset holds.
        """
        if self._images > snapshot.count:
            raise InputError(
                f"{self._images} images per score, but the dataset holds {snapshot.count}; lower --metric-images of "
                "`pggan train`, or --num-images of `pggan evaluate`"
            )
        count = self._images or min(snapshot.count, _MOST_IMAGES)
        if not self._has_reals:
            for batch in snapshot.reals(count):
                for metric in self._metrics:
                    metric.update_reals(spread_grey(batch))
            self._has_reals = True
        for metric in self._metrics:
            metric.clear_fakes()
        for batch in snapshot.draw(count):
            for metric in self._metrics:
                metric.update_fakes(spread_grey(batch))
        scores: dict[str, float] = {}
        for metric in self._metrics:
            scores.update(metric.compute().values)
        return scores
