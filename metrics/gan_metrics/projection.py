"""Project two descriptor sets onto directions and compare them along each, in bounded memory and any threads."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from celebahq_tools.errors import ConfigError, ShapeError
from gan_metrics.base import Progress
from gan_metrics.descriptors import LENGTH
from gan_metrics.raw_file import RawArray
from gan_metrics.wasserstein import Sample, measure_distance

DIR_REPEATS = 4
DIRS_PER_REPEAT = 128
# Eight groups give a standard error that is itself good to a quarter; more would make the groups small.
GROUPS = 8
_GROUP_DIRECTIONS = 32

# Matrix products always have this shape, whatever the memory or the number of threads, so that their rounding never
# changes: 128 directions by 2,048 descriptors keep a core busy and stay in its cache.
_DIRECTIONS = 128
_DESCRIPTORS = 2048
# Saved projections are read in pieces, between which other threads get their turn.
_ROWS_A_READ = 4


def draw_directions(
    rng: np.random.Generator, *, dir_repeats: int = DIR_REPEATS, dirs_per_repeat: int = DIRS_PER_REPEAT
) -> NDArray[np.float32]:
    """Return random unit directions, (dir_repeats, dirs_per_repeat, 147) float32, uniform on the sphere."""
    normal = rng.standard_normal((dir_repeats, dirs_per_repeat, LENGTH))
    return np.asarray(normal / np.linalg.norm(normal, axis=2, keepdims=True), dtype=np.float32)


def plan_comparisons(
    seed: int, level: int, images: NDArray[np.int64]
) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Return what is compared at a pyramid level: the whole set, then disjoint groups of it for the standard error.

    Args:
        seed: Source of the directions.
        level: Pyramid level; each has directions of its own.
        images: (N,) images of one set, in the order of their hashes.
    Returns:
        (directions (K, 147), images) per comparison; fewer than 16 images make no groups.
    """
    directions = _draw_level_directions(seed, level)
    groups = GROUPS if len(images) >= 2 * GROUPS else 0
    bounds = [len(images) * group // GROUPS for group in range(1 + groups)]
    return [(directions, images), *((directions[:_GROUP_DIRECTIONS], images[i:j]) for i, j in pairwise(bounds))]


@lru_cache(maxsize=16)
def _draw_level_directions(seed: int, level: int) -> NDArray[np.float32]:
    directions = draw_directions(np.random.Generator(np.random.Philox(key=[seed, level]))).reshape(-1, LENGTH)
    directions.flags.writeable = False
    return directions


def sliced_wasserstein(
    a: NDArray[np.float32], b: NDArray[np.float32], directions: NDArray[np.float32], *, workers: int = 1
) -> float:
    """Return the sliced Wasserstein distance between two descriptor sets.

    The mean Wasserstein-1 distance of their projections onto the directions (Karras et al. 2018, section 5).

    Args:
        a, b: Descriptors, (N, D) float32, normalised by :func:`gan_metrics.descriptors.normalise_descriptors`.
        directions: Unit vectors, (repeats, K, D) or (K, D) float32; see :func:`draw_directions`.
        workers: Threads; the result does not depend on it.
    Returns:
        Distance in descriptor units. Reports multiply it by 1e3.
    Raises:
        ShapeError: If the shapes differ or are not 2-D.
    """
    if a.ndim != 2 or a.shape != b.shape or directions.shape[-1] != a.shape[1]:
        raise ShapeError(f"descriptors {a.shape} and {b.shape} with directions {directions.shape} do not fit together")
    flat = directions.reshape(-1, a.shape[1])
    found = compare_sources(_ArraySource(a), _ArraySource(b), flat, workers=workers, max_memory=sys.maxsize)
    return math.fsum(found) / len(flat)


class _ArraySource:
    """Descriptors in an array, normalised already."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self._values = np.asarray(values, dtype=np.float32)
        self.scale, self.shift = np.ones(values.shape[1]), np.zeros(values.shape[1])

    def __len__(self) -> int:
        return len(self._values)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        return self._values[start:stop]


class DescriptorSource(Protocol):
    """A set of descriptors, affine-normalised on the fly.

    Attributes:
        scale: (D,) float64; a normalised descriptor is ``(raw - shift) * scale``.
        shift: (D,) float64.
    """

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of descriptors."""
        ...

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return raw descriptors start..stop, (stop - start, D) float32."""
        ...


class SortedProjections:
    """Projections of a set that were sorted before and saved; stands where a descriptor source would.

    Args:
        rows: Array-like of float32 that :func:`sort_projections` filled, (K * N,), direction after direction; read in
            slices, so that it may lie in a file.
        offset: Where these projections begin in ``rows``.
        source: The descriptors they come from, for their number and normalisation.
    """

    def __init__(self, rows: Any, offset: int, source: DescriptorSource) -> None:
        self._rows, self._offset, self._count = rows, offset, len(source)
        self.scale, self.shift = source.scale, source.shift

    def __len__(self) -> int:
        return self._count

    def read_sorted(self, start: int, out: NDArray[np.float32]) -> None:
        """Fill ``out``, (rows, N), with the sorted projections from direction ``start`` on."""
        first = self._offset + start * self._count
        flat = out.reshape(-1)
        if isinstance(self._rows, RawArray):
            self._rows.read_into(first, flat)
        else:
            flat[...] = self._rows[first : first + flat.size]


def compare_sources(
    a: DescriptorSource | SortedProjections,
    b: DescriptorSource | SortedProjections,
    directions: NDArray[np.float32],
    *,
    workers: int,
    max_memory: int,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Return the one-dimensional Wasserstein-1 distances of two sets along directions.

    The normalisation is folded into the directions, so that normalised copies of the sets never exist.

    Args:
        a, b: Equally many descriptors each, or their projections onto these directions, sorted before.
        directions: (K, D) float32.
        workers: Threads.
        max_memory: Bytes for the projections.
        progress: Called with (passes done, passes in all).
    Returns:
        Distances (K,) in normalised descriptor units; see :func:`gan_metrics.wasserstein.measure_distance`.
    Raises:
        ShapeError: If the sets differ in size or are empty.
        ConfigError: If the memory does not hold even eight projections.
    """
    if len(a) != len(b) or not len(a):
        raise ShapeError(f"two sets of equal, positive size are needed, got {len(a)} and {len(b)} descriptors")
    passes = _plan_passes(len(directions), _choose_rows(len(a), max_memory))
    distances = np.empty(len(directions), dtype=np.float64)
    shifts = [directions.astype(np.float64) @ (source.shift * source.scale) for source in (a, b)]
    ready = [isinstance(source, SortedProjections) for source in (a, b)]
    buffers = [_make_buffer(passes, len(a)) for _ in range(2)]

    def measure(x: NDArray[np.float32], y: NDArray[np.float32], index: int) -> float:
        return measure_distance(Sample(x, shifts[0][index], ready[0]), Sample(y, shifts[1][index], ready[1]))

    with _find_blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        for done, (start, stop) in enumerate(passes):
            x, y = (buffer[: stop - start] for buffer in buffers)
            # Both at once: saved projections are read while the other set is projected.
            _wait([*_fill(a, directions, start, x, pool), *_fill(b, directions, start, y, pool)])
            distances[start:stop] = list(pool.map(measure, x, y, range(start, stop)))
            if progress is not None:
                progress(done + 1, len(passes))
    return distances


def sort_projections(
    source: DescriptorSource, directions: NDArray[np.float32], *, workers: int, max_memory: int
) -> Iterator[NDArray[np.float32]]:
    """Yield the sorted projections of a set, for :class:`SortedProjections`.

    Args:
        source: The descriptors.
        directions: (K, D) float32.
        workers: Threads.
        max_memory: Bytes for the projections.
    Yields:
        (rows, N) float32, K rows in all; overwritten by the next.
    Raises:
        ConfigError: If the memory does not hold even eight projections.
    """
    passes = _plan_passes(len(directions), _choose_rows(len(source), max_memory))
    buffer = _make_buffer(passes, len(source))
    with _find_blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        for start, stop in passes:
            rows = buffer[: stop - start]
            _wait(_fill(source, directions, start, rows, pool))
            list(pool.map(np.ndarray.sort, rows))
            yield rows


def _plan_passes(count: int, rows: int) -> list[tuple[int, int]]:
    """Return the directions of each pass: ``rows`` at a time, none across a matrix product's border."""
    return [
        (row, min(row + rows, chunk + _DIRECTIONS, count))
        for chunk in range(0, count, _DIRECTIONS)
        for row in range(chunk, min(chunk + _DIRECTIONS, count), rows)
    ]


def _make_buffer(passes: list[tuple[int, int]], count: int) -> NDArray[np.float32]:
    return np.empty((max(stop - start for start, stop in passes), count), dtype=np.float32)


@cache
def _find_blas() -> ThreadpoolController:
    """Return the switch of BLAS's own threads, which would fight with ours; finding it takes milliseconds."""
    return ThreadpoolController()


def _fill(
    source: DescriptorSource | SortedProjections,
    directions: NDArray[np.float32],
    start: int,
    out: NDArray[np.float32],
    pool: ThreadPoolExecutor,
) -> list[Future[None]]:
    """Begin to fill ``out``, (rows, N), with the raw projections onto the directions from ``start`` on."""
    if isinstance(source, SortedProjections):
        return [
            pool.submit(source.read_sorted, start + row, out[row : row + _ROWS_A_READ])
            for row in range(0, len(out), _ROWS_A_READ)
        ]
    chunk = start - start % _DIRECTIONS
    scaled = (directions[chunk : chunk + _DIRECTIONS].astype(np.float64) * source.scale).astype(np.float32)
    part = slice(start - chunk, start - chunk + len(out))

    def project(first: int) -> None:
        last = min(first + _DESCRIPTORS, len(source))
        descriptors = source.read(first, last).T
        if len(out) == len(scaled):
            np.matmul(scaled, descriptors, out=out[:, first:last])
        else:
            out[:, first:last] = (scaled @ descriptors)[part]

    return [pool.submit(project, first) for first in range(0, len(source), _DESCRIPTORS)]


def _wait(futures: list[Future[None]]) -> None:
    for future in futures:
        future.result()


def _choose_rows(count: int, max_memory: int) -> int:
    rows = _DIRECTIONS
    while rows * count * 8 > max_memory and rows > 8:
        rows //= 2
    if rows * count * 8 > max_memory:
        raise ConfigError(
            f"max memory: {count} descriptors per set need at least {math.ceil(2 * 8 * count * 8 / 2**20)} MB; "
            f"raise --max-memory or lower --num-images"
        )
    return rows
