"""Sliced Wasserstein distance between the Laplacian pyramids of two sets of images (Karras et al. 2018, section 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ConfigError, InputError, StoreError
from gan_metrics.base import Batch, Metric, MetricResult, MetricSettings, Progress, StreamedArray, check_batch
from gan_metrics.descriptor_store import (
    Descriptors,
    DescriptorStore,
    StoredLevel,
    sort_by_content,
)
from gan_metrics.descriptors import (
    LENGTH,
    PER_IMAGE,
    draw_centres,
    extract_descriptors,
    hash_image,
    sum_channels,
)
from gan_metrics.progress import ProgressPlan
from gan_metrics.projection import GROUPS, SortedProjections, compare_sources, plan_comparisons
from gan_metrics.projection_views import LevelProjections, describe_level
from gan_metrics.pyramid import decompose_image, list_level_sizes, name_level_size
from gan_metrics.saved_reals import SavedDescriptors, export_descriptors

_Subset: TypeAlias = tuple[Descriptors, NDArray[np.int64]]


@dataclass(frozen=True)
class _Scores:
    """x1e3 values and their standard errors: one entry per level, then the average."""

    values: tuple[float, ...]
    direction_errors: tuple[float, ...]
    image_errors: tuple[float, ...]
    by_direction: tuple[NDArray[np.float64], ...]


class SlicedWasserstein(Metric):
    """SWD x1e3 per pyramid level and their average, with its floor and standard errors.

    Both sets are cut to the same number of images: those whose content hashes come first, a choice no order of the
    files can change. The floor is the same distance between two disjoint sets of reals: of the same size when the
    reals given are twice as many, else between halves of the reals (its size is reported).

    Args:
        settings: Uses ``num_images``, ``seed``, ``workers``, ``max_memory``, ``floor`` and ``save_projections``.
    """

    name = "swd"
    title = "Sliced Wasserstein distance x1e3"

    def __init__(self, settings: MetricSettings | None = None) -> None:
        super().__init__(settings)
        self._size: tuple[int, int] | None = None
        self._reals: DescriptorStore | SavedDescriptors | None = None
        self._fakes: DescriptorStore | None = None
        self._projections: list[Any] = []
        self._floors: dict[int, tuple[int, tuple[float, ...]]] = {}
        self._by_direction: tuple[NDArray[np.float64], ...] = ()

    @property
    def level_names(self) -> list[str]:
        """Names of the pyramid levels, largest first."""
        return [name_level_size(*size) for size in self._list_sizes()]

    def update_reals(self, batch: Batch) -> None:
        """Add real images, (N, 3, H, W) uint8 RGB; see :meth:`Metric.update_reals`."""
        self._floors.clear()
        self._by_direction = ()
        if isinstance(self._reals, SavedDescriptors):
            raise InputError("saved reals cannot be added to; make the statistics again from all of them")
        self._reals = self._add(batch, self._reals)

    def update_fakes(self, batch: Batch) -> None:
        """Add generated images, (N, 3, H, W) uint8 RGB; see :meth:`Metric.update_fakes`."""
        self._by_direction = ()
        self._fakes = self._add(batch, self._fakes)

    def clear_fakes(self) -> None:
        """Forget the fakes and keep the reals."""
        if self._fakes is not None:
            self._fakes.close()
        self._fakes = None
        self._by_direction = ()

    def close(self) -> None:
        """Free the descriptors and temporary files."""
        self.clear_fakes()
        if self._reals is not None:
            self._reals.close()
        self._reals = None
        self._projections = []

    def compute(self, progress: Progress | None = None) -> MetricResult:
        """Return ``SWDx1e3_<level>`` per level and ``SWDx1e3_avg``; see :meth:`Metric.compute`.

        The errors ``..._se_directions`` come from the spread over directions, ``..._se_images`` from the spread over
        eight disjoint groups of the images, scaled to the full number.

        Raises:
            InputError: If a set holds fewer images than wanted, or none.
        """
        reals, fakes = self._require(self._reals, "reals"), self._require(self._fakes, "fakes")
        count = self.settings.num_images or min(len(reals), len(fakes))
        for name, store in (("reals", reals), ("fakes", fakes)):
            if len(store) < count:
                raise InputError(
                    f"{name}: found {len(store)} images, need {count}; pass --num-images {len(store)} to score anyway"
                )
        levels = len(self._list_sizes())
        plan = ProgressPlan(progress, levels * (2 if self.settings.floor and count not in self._floors else 1))
        real_order, fake_order = sort_by_content(reals), sort_by_content(fakes)
        scores = self._compare((reals, real_order[:count]), (fakes, fake_order[:count]), plan)
        self._by_direction = scores.by_direction
        floor_count, floor = self._measure_floor(reals, real_order, count, plan) if self.settings.floor else (0, ())
        names = [f"SWDx1e3_{name}" for name in [*self.level_names, "avg"]]
        errors = {f"{name}_se_directions": error for name, error in zip(names, scores.direction_errors, strict=True)}
        if scores.image_errors:
            errors |= {f"{name}_se_images": error for name, error in zip(names, scores.image_errors, strict=True)}
        return MetricResult(
            metric=self.name,
            values=dict(zip(names, scores.values, strict=True)),
            errors=errors,
            floor=dict(zip(names, floor, strict=True)) if floor else {},
            floor_num_images=floor_count or None,
            num_images=count,
            notes=self._list_notes(reals, fakes, count, floor_count),
            details={"seed": self.settings.seed, "spilled_images": reals.spilled + fakes.spilled},
        )

    def describe_projections(self) -> list[LevelProjections]:
        """Return, per level and largest first, how both sets lie along single directions, as last computed.

        Raises:
            InputError: If :meth:`compute` was not called with these images.
        """
        reals, fakes = self._require(self._reals, "reals"), self._require(self._fakes, "fakes")
        if not self._by_direction:
            raise InputError("projections are described after compute()")
        count = self.settings.num_images or min(len(reals), len(fakes))
        orders = sort_by_content(reals)[:count], sort_by_content(fakes)[:count]
        return [
            describe_level(
                name,
                StoredLevel(reals, level, orders[0]),
                StoredLevel(fakes, level, orders[1]),
                plan_comparisons(self.settings.seed, level, orders[0])[0][0],
                self._by_direction[level],
            )
            for level, name in enumerate(self.level_names)
        ]

    def export_reals(self) -> dict[str, NDArray[Any] | StreamedArray]:
        """Return descriptors, hashes, channel sums and the floor of the reals, cut to ``num_images``.

        With ``save_projections`` also their sorted projections, of all of them and of the groups behind the standard
        error: 0.3 MB per image and level, which spare a score from this many images the projecting and sorting.

        Raises:
            InputError: If there are fewer images than wanted.
        """
        reals = self._require(self._reals, "reals")
        order = sort_by_content(reals)
        count = self.settings.num_images or len(reals)
        if len(reals) < count:
            raise InputError(f"reals: found {len(reals)} images, need {count}; pass --num-images {len(reals)}")
        chosen = order[:count]
        arrays = export_descriptors(reals, chosen, self.settings)
        arrays |= {"size": np.array(self._size), "seed": np.array(self.settings.seed)}
        if self.settings.floor:
            floor_count, floor = self._measure_floor(reals, order, count, ProgressPlan(None, 1))
            if floor:
                arrays["floor"] = np.array([count, floor_count, *floor], dtype=np.float64)
        return arrays

    def load_reals(self, arrays: Mapping[str, Any]) -> None:
        """Take the place of :meth:`update_reals`, from :meth:`export_reals`; see :meth:`Metric.load_reals`.

        The descriptors and projections stay where they are and are read when they are needed.

        Raises:
            ConfigError: If they were made with another seed.
            StoreError: If the projections are not those this version compares.
        """
        seed = int(np.asarray(arrays["seed"]))
        if seed != self.settings.seed:
            raise ConfigError(
                f"saved statistics were made with seed {seed}, not {self.settings.seed}: pass --seed {seed}"
            )
        self._size = (int(arrays["size"][0]), int(arrays["size"][1]))
        self._reals = saved = SavedDescriptors(arrays)
        names = [f"projections_{level}" for level in range(saved.levels)]
        self._projections = [arrays[name] for name in names] if names[0] in arrays else []
        parts = plan_comparisons(seed, 0, np.arange(len(saved)))
        expected = sum(len(directions) * len(part) for directions, part in parts) * PER_IMAGE
        if any(len(rows) != expected for rows in self._projections):
            raise StoreError("saved projections of another version; make the statistics again with `swd stats`")
        self._floors.clear()
        self._by_direction = ()
        if "floor" in arrays:
            count, floor_count, *floor = np.asarray(arrays["floor"]).tolist()
            self._floors[int(count)] = (int(floor_count), tuple(floor))

    def _list_sizes(self) -> list[tuple[int, int]]:
        if self._size is None:
            raise InputError("no images were given yet")
        return list_level_sizes(*self._size)

    @staticmethod
    def _require(store: Descriptors | None, name: str) -> Descriptors:
        if store is None or not len(store):
            raise InputError(f"{name}: no images were given")
        return store

    def _add(self, batch: Batch, store: DescriptorStore | None) -> DescriptorStore | None:
        check_batch(batch, self._size)
        if not len(batch):
            return store
        sizes = list_level_sizes(*batch.shape[2:])
        self._size = (int(batch.shape[2]), int(batch.shape[3]))
        # An eighth for each set and the rest for the projections, which cannot go to disk.
        store = store or DescriptorStore(len(sizes), self.settings.max_memory // 8)

        filled = store

        def describe(image: NDArray[np.uint8]) -> None:
            digest = hash_image(image)
            levels = decompose_image(np.ascontiguousarray(image.transpose(1, 2, 0)))
            centres = draw_centres(digest, self.settings.seed, sizes)
            found = np.empty((len(sizes), PER_IMAGE, LENGTH), np.float32)
            for level, places, out in zip(levels, centres, found, strict=True):
                extract_descriptors(level, places, out)
            filled.append(digest, sum_channels(found), found)

        with ThreadPoolExecutor(self.settings.workers) as pool:
            list(pool.map(describe, batch))
        return store

    def _compare(
        self,
        a: _Subset,
        b: _Subset,
        plan: ProgressPlan,
    ) -> _Scores:
        per_level, by_group = [], []
        for level in range(a[0].levels):
            whole, *groups = (
                self._measure(level, number, a, b, plan.report if number == 0 else None)
                for number in range(len(plan_comparisons(self.settings.seed, level, a[1])))
            )
            per_level.append(whole)
            by_group.append([1e3 * float(found.mean()) for found in groups])
            plan.finish_level()
        values = [1e3 * math.fsum(found) / len(found) for found in per_level]
        spread = [1e3 * float(np.std(found, ddof=1)) / math.sqrt(len(found)) for found in per_level]
        # Levels have directions of their own, so their errors add as squares; they share the images, so groups average.
        direction_errors = (*spread, math.hypot(*spread) / len(spread))
        image_errors: tuple[float, ...] = ()
        if by_group[0]:
            table = np.array([*by_group, np.mean(by_group, axis=0)])
            image_errors = tuple((np.std(table, axis=1, ddof=1) / math.sqrt(GROUPS)).tolist())
        average = math.fsum(values) / len(values)
        return _Scores((*values, average), direction_errors, image_errors, tuple(per_level))

    def _measure(
        self, level: int, number: int, a: _Subset, b: _Subset, progress: Progress | None
    ) -> NDArray[np.float64]:
        """Return the distances of part ``number`` of :func:`plan_comparisons`, each set normalised by itself."""
        directions, _ = plan_comparisons(self.settings.seed, level, a[1])[number]
        return compare_sources(
            self._find_source(level, number, a),
            self._find_source(level, number, b),
            directions,
            workers=self.settings.workers,
            max_memory=self.settings.max_memory * 3 // 4,
            progress=progress,
        )

    def _find_source(self, level: int, number: int, subset: _Subset) -> StoredLevel | SortedProjections:
        store, images = subset
        parts = plan_comparisons(self.settings.seed, level, images)
        source = StoredLevel(store, level, parts[number][1])
        # Saved projections are those of all saved reals, in the order of their hashes.
        if store is self._reals and self._projections and len(images) == len(store):
            offset = sum(len(directions) * len(part) for directions, part in parts[:number]) * PER_IMAGE
            return SortedProjections(self._projections[level], offset, source)
        return source

    def _measure_floor(
        self, reals: Descriptors, order: NDArray[np.int64], count: int, plan: ProgressPlan
    ) -> tuple[int, tuple[float, ...]]:
        if count not in self._floors:
            size = count if len(order) >= 2 * count else len(order) // 2
            if size == 0:
                return 0, ()
            scores = self._compare((reals, order[:size]), (reals, order[size : 2 * size]), plan)
            self._floors[count] = (size, scores.values)
        return self._floors[count]

    @staticmethod
    def _list_notes(reals: Descriptors, fakes: Descriptors, count: int, floor_count: int) -> tuple[str, ...]:
        notes = []
        shared = len(set(reals.digests) & set(fakes.digests))
        if shared:
            notes.append(f"{shared} images stand in both sets, pixel for pixel")
        repeated = len(fakes) - len(set(fakes.digests))
        if repeated:
            notes.append(f"{repeated} of {len(fakes)} fakes repeat another fake pixel for pixel")
        if floor_count and floor_count < count:
            notes.append(
                f"the floor is between two sets of {floor_count} reals, as {2 * count} would be needed for sets of "
                f"{count}; smaller sets have a higher floor"
            )
        return tuple(notes)
