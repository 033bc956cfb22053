"""Choose the best-scored pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ConfigError, ShapeError


@dataclass(frozen=True)
class Selection:
    """Which pictures are kept.

    Attributes:
        indices: Positions in the list of scores, ascending: the dataset keeps the order of its inputs, so that a
            build with another `keep` differs by rows left out, not by rows moved.
        threshold: The lowest score that was kept; infinity if nothing was.
    """

    indices: NDArray[np.int64]
    threshold: float

    def __post_init__(self) -> None:
        if self.indices.ndim != 1 or np.any(np.diff(self.indices) <= 0):
            raise ShapeError("selection: the indices must be one ascending list without repeats")


def select_best(scores: Sequence[float] | NDArray[np.floating], keep: int) -> Selection:
    """Return the `keep` pictures of highest score, or all that can be kept if there are fewer.

    Of pictures with equal scores the earlier ones are kept. A score that is not a finite number never is.

    Args:
        scores: One score per picture, shape (N,); higher is better.
        keep: How many to keep, at least 1.
    Returns:
        The kept positions in ascending order, and the lowest score among them.
    Raises:
        ConfigError: If `keep` is below 1.
        ShapeError: If the scores are not one list.
    """
    if keep < 1:
        raise ConfigError(f"keep: got {keep}, need at least 1")
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ShapeError(f"scores: got an array of shape {values.shape}, need one score per picture, shape (N,)")
    usable = np.flatnonzero(np.isfinite(values))
    best = usable[np.argsort(-values[usable], kind="stable")[:keep]]
    threshold = float(values[best].min()) if len(best) else float("inf")
    return Selection(np.sort(best).astype(np.int64), threshold)
