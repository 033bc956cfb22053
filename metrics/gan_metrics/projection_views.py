"""What the sliced Wasserstein distance compares, made visible: both sets along single directions, as histograms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan_metrics.descriptors import PER_IMAGE, SIDE
from gan_metrics.projection import DescriptorSource

_BINS = 64
# Whole images of descriptors at a time.
_PIECE = 128 * PER_IMAGE
# Beyond these quantiles of both sets together values go into the outermost bins.
_TAIL = 5e-4


@dataclass(frozen=True)
class ProjectedSets:
    """Both sets along one direction.

    Attributes:
        label: Which direction it is, for people.
        distance: The Wasserstein distance along it, x1e3.
        patch: (7, 7, 3) float32, rows, columns, RGB: the direction as the neighbourhood it responds to most.
        edges: (bins + 1,) float64, in normalised descriptor units.
        reals, fakes: (bins,) float64, share of the descriptors in each bin.
    """

    label: str
    distance: float
    patch: NDArray[np.float32]
    edges: NDArray[np.float64]
    reals: NDArray[np.float64]
    fakes: NDArray[np.float64]


@dataclass(frozen=True)
class LevelProjections:
    """One pyramid level.

    Attributes:
        level: Its name, as in the score.
        distances: (directions,) float64: the distance along every direction, x1e3; the level's score is their mean.
        chosen: The directions of median and of largest distance.
    """

    level: str
    distances: NDArray[np.float64]
    chosen: tuple[ProjectedSets, ...]


def describe_level(
    level: str,
    reals: DescriptorSource,
    fakes: DescriptorSource,
    directions: NDArray[np.float32],
    distances: NDArray[np.float64],
) -> LevelProjections:
    """Return how two sets of descriptors lie along the directions of median and of largest distance.

    Args:
        level: Name of the level.
        reals, fakes: The descriptors.
        directions: (K, 147) float32 unit vectors.
        distances: (K,) the distances found along them, in descriptor units.
    """
    order = np.argsort(distances, kind="stable")
    picks = {"median distance": int(order[len(order) // 2]), "largest distance": int(order[-1])}
    chosen = []
    for label, index in picks.items():
        projected = [_project(source, directions[index]) for source in (reals, fakes)]
        edges = _choose_edges(np.concatenate(projected))
        shares = [np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0] / len(x) for x in projected]
        patch = directions[index].reshape(3, SIDE, SIDE).transpose(2, 1, 0)
        chosen.append(ProjectedSets(label, 1e3 * float(distances[index]), patch, edges, shares[0], shares[1]))
    return LevelProjections(level, 1e3 * distances, tuple(chosen))


def _project(source: DescriptorSource, direction: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the normalised descriptors' components along a direction, (N,) float64."""
    scaled = direction * source.scale
    shift = float(direction @ (source.shift * source.scale))
    return np.concatenate([piece @ scaled for piece in _read_pieces(source)]) - shift


def _read_pieces(source: DescriptorSource) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(source), _PIECE):
        yield source.read(start, min(start + _PIECE, len(source)))


def _choose_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    if not high > low:  # Constant images: one bar, not a division by zero.
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)
