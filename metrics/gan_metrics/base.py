"""What every metric is: updates with batches of pixels, one result, reusable reals; and the registry of metrics."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ConfigError, ShapeError
from celebahq_tools.registry import Registry

Batch: TypeAlias = NDArray[np.uint8]
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class MetricSettings:
    """Settings that all metrics share; each takes what concerns it.

    Attributes:
        num_images: Images wanted in each set; None takes all that are given.
        seed: Source of all randomness; the same seed gives the same result.
        workers: Threads; results do not depend on it.
        max_memory: Bytes that stored descriptors and projections may take; above it they go to a temporary file.
        device: Torch device of the feature nets.
        inception_weights: The user's own InceptionV3 weights with logits, needed by the Inception Score.
        fid_infinity: Also extrapolate FID to infinitely many images.
        floor: Whether SWD also measures its floor, which costs about as much as the score.
        save_projections: Whether SWD's saved reals include their sorted projections: faster scores, a larger file.
    """

    num_images: int | None = None
    seed: int = 0
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    max_memory: int = 4 << 30
    device: str = "cpu"
    inception_weights: Path | None = None
    fid_infinity: bool = False
    floor: bool = True
    save_projections: bool = False

    def __post_init__(self) -> None:
        for name, least in (("num_images", 1), ("seed", 0), ("workers", 1), ("max_memory", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name.replace('_', ' ')}: {value} is below {least}")
        if self.seed >= 2**63:
            raise ConfigError(f"seed: {self.seed} is not below 2**63")


@dataclass(frozen=True)
class MetricResult:
    """What a metric found.

    Attributes:
        metric: Registry name.
        values: Named results in the order to print them.
        errors: Standard errors, by the names of ``values`` with a suffix that says over what.
        floor: The same values between two disjoint sets of reals; empty if not measured.
        num_images: Images per set (pairs for MS-SSIM).
        floor_num_images: Images per set of the floor.
        notes: Sentences the reader must see beside the numbers.
        details: Further figures for the JSON report.
    """

    metric: str
    values: Mapping[str, float]
    num_images: int
    errors: Mapping[str, float] = field(default_factory=dict)
    floor: Mapping[str, float] = field(default_factory=dict)
    floor_num_images: int | None = None
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON; what is not a finite number becomes null."""
        plain: dict[str, Any] = {
            "values": _drop_non_finite(self.values),
            "num_images": self.num_images,
            "errors": _drop_non_finite(self.errors),
            "notes": list(self.notes),
            "details": dict(self.details),
        }
        if self.floor:
            plain["floor"] = {**_drop_non_finite(self.floor), "num_images": self.floor_num_images}
        return plain


@dataclass(frozen=True)
class StreamedArray:
    """An array too large to hold, given piece by piece along its first axis."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Iterable[NDArray[Any]]


class Metric(ABC):
    """A score of fakes, usually against reals.

    Feed batches with :meth:`update_reals` and :meth:`update_fakes` in any sizes, then call :meth:`compute`, as often as
    wanted. :meth:`clear_fakes` keeps the reals for the next set of fakes: the use inside a training loop.

    Args:
        settings: What all metrics share; the defaults if omitted.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs_reals: ClassVar[bool] = True
    floor_title: ClassVar[str] = "floor"

    def __init__(self, settings: MetricSettings | None = None) -> None:
        self.settings = settings or MetricSettings()

    @abstractmethod
    def update_reals(self, batch: Batch) -> None:
        """Add real images, (N, 3, H, W) uint8 RGB.

        Raises:
            ShapeError: If the batch has another type or shape, or its size differs from the images before.
        """

    @abstractmethod
    def update_fakes(self, batch: Batch) -> None:
        """Add generated images, (N, 3, H, W) uint8 RGB; raises as :meth:`update_reals`."""

    @abstractmethod
    def clear_fakes(self) -> None:
        """Forget the fakes and keep the reals."""

    @abstractmethod
    def compute(self, progress: Progress | None = None) -> MetricResult:
        """Return the score of what was given so far.

        Args:
            progress: Called with (steps done, steps in all) while it works.
        Raises:
            InputError: If there are too few images.
        """

    def export_reals(self) -> dict[str, NDArray[Any] | StreamedArray]:
        """Return what can be reused of the reals, for :meth:`load_reals`; empty if nothing is worth keeping."""
        return {}

    def load_reals(self, arrays: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Take the place of :meth:`update_reals`; ``arrays`` may be lazy, such as HDF5 datasets.

        Raises:
            ConfigError: If they were made with other settings.
        """
        raise ConfigError(f"{self.name}: keeps nothing of the reals; give the images themselves")

    def close(self) -> None:  # noqa: B027 - most metrics hold nothing
        """Free temporary files; the metric cannot be used afterwards."""


METRICS: Registry[type[Metric]] = Registry(
    "metric",
    {
        "swd": "gan_metrics.swd:SlicedWasserstein",
        "ms-ssim": "gan_metrics.ms_ssim:MultiScaleSSIM",
        "fid": "gan_metrics.fid:FrechetInceptionDistance",
        "kid": "gan_metrics.kid:KernelInceptionDistance",
        "is": "gan_metrics.inception_score:InceptionScore",
        "prdc": "gan_metrics.prdc:PrecisionRecall",
        "modes": "gan_metrics.modes:ModeCoverage",
    },
)


def check_batch(batch: Batch, size: tuple[int, int] | None = None) -> Batch:
    """Return the batch if it is one of RGB pixels, and of the wanted size.

    Args:
        batch: What should be (N, 3, H, W) uint8.
        size: (H, W) of the images given before, if any.
    Raises:
        ShapeError: If it is anything else; floats are refused, as their range is anybody's guess.
    """
    if not isinstance(batch, np.ndarray) or batch.dtype != np.uint8:
        kind = getattr(batch, "dtype", type(batch).__name__)
        raise ShapeError(f"images: expected uint8 in 0..255, got {kind}; scale, round and clip them first")
    if batch.ndim != 4 or batch.shape[1] != 3:
        raise ShapeError(f"images: expected (N, 3, H, W), got {batch.shape}")
    if size is not None and batch.shape[2:] != size:
        raise ShapeError(
            f"images: sizes differ: {size[0]}x{size[1]} before, {batch.shape[2]}x{batch.shape[3]} now (height x width)"
        )
    return batch


def _drop_non_finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
