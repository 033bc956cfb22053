"""Faces of a dataset that look alike, for people to judge: what a guard against duplicates took out or let pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.rank.duplicates import MAX_HASH_DISTANCE, Thumbs, hash_thumbs, measure_difference

# Pairs with nearer hashes are compared by pixels, this many at most: a report looks for the likest, not for all.
_MOST_COMPARED = 5_000
# What a pair shown may differ by: more than the guard allows, since the doubtful ones are the ones to look at.
MAX_SHOWN = 0.2


@dataclass(frozen=True)
class Pair:
    """Two faces that look alike.

    Attributes:
        first, second: Their numbers.
        difference: Part of the contrast that one does not explain of the other, 0 (the same) to 1.
    """

    first: int
    second: int
    difference: float


def find_pairs(thumbs: Thumbs, *, count: int = 24) -> list[Pair]:
    """Return the pairs of faces that look most alike, the likest first; of faces alike in threes or more, each once.

    Args:
        thumbs: (N, 24, 24) uint8, as of :func:`celebahq_tools.rank.duplicates.make_thumb`; all 0 where there is none.
        count: How many at most.
    """
    seen = np.flatnonzero(thumbs.any(axis=(1, 2)))
    first, second = (seen[one] for one in _propose(hash_thumbs(thumbs[seen])))
    pairs = []
    for one in np.unique(first).tolist():
        others = second[first == one]
        differences = measure_difference(thumbs[one], thumbs[others])
        pairs += [
            Pair(one, int(other), float(difference))
            for other, difference in zip(others, differences, strict=True)
            if difference <= MAX_SHOWN
        ]
    chosen: list[Pair] = []
    shown: set[int] = set()
    for pair in sorted(pairs, key=lambda pair: (pair.difference, pair.first, pair.second)):
        # A crowd of pictures that are all alike would fill the page with its pairs.
        if pair.second not in shown and len(chosen) < count:
            chosen.append(pair)
            shown.add(pair.second)
    return chosen


def _propose(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return both numbers of the pairs with the nearest hashes; memory stays bounded however many are near."""
    table = np.empty((3, 0), np.int64)
    found: list[NDArray[np.int64]] = []
    waiting, limit = 0, MAX_HASH_DISTANCE
    for one in range(len(hashes) - 1):
        distance = np.bitwise_count(hashes[one + 1 :] ^ hashes[one])
        near = np.flatnonzero(distance <= limit)
        found.append(np.stack([np.full(len(near), one), near + one + 1, distance[near].astype(np.int64)]))
        waiting += len(near)
        if waiting > 20 * _MOST_COMPARED:
            table, found, waiting = _keep_nearest([table, *found]), [], 0
            limit = int(table[2, -1])
    table = _keep_nearest([table, *found])
    return table[0], table[1]


def _keep_nearest(tables: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    table = np.concatenate(tables, axis=1)
    return table[:, np.argsort(table[2], kind="stable")[:_MOST_COMPARED]]
