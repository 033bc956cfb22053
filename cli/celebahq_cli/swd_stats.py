"""The file of saved statistics of reals: an HDF5 file with one group per metric."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from gan_metrics import Metric
from gan_metrics.base import StreamedArray
from gan_metrics.raw_file import RawArray

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import ConfigError, StoreError
from celebahq_tools.hdf5_writing import write_hdf5

_FORMAT = "gan_metrics statistics"
_VERSION = 1
_LARGE = 1 << 20


@dataclass(frozen=True)
class StatsHeader:
    """What a statistics file says about itself.

    Attributes:
        source: Path of the reals, as given.
        num_images: Images behind the statistics.
        size: (H, W) of the images.
        seed: Seed of the random choices.
    """

    source: str
    num_images: int
    size: tuple[int, int]
    seed: int


def is_stats_file(path: Path) -> bool:
    """Return whether a path is a statistics file of ours.

    Raises:
        StoreError: If its name says so and it cannot be read.
    """
    if not path.is_file():
        return False
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == _FORMAT)
    except OSError as error:
        if path.suffix == ".stats":
            raise StoreError(f"{path}: damaged statistics ({error}); make them again with `swd stats`") from None
        return False


def save_stats(path: Path, header: StatsHeader, metrics: Sequence[Metric]) -> list[str]:
    """Write what the metrics keep of the reals; the file appears whole or not at all.

    Returns:
        Names of the metrics that kept something.
    """
    saved = []
    with write_atomically(path) as temporary, write_hdf5(temporary, "w") as file:
        file.attrs.update(
            format=_FORMAT,
            version=_VERSION,
            source=header.source,
            num_images=header.num_images,
            size=header.size,
            seed=header.seed,
        )
        for metric in metrics:
            arrays = metric.export_reals()
            if arrays:
                group = file.create_group(metric.name)
                for name, array in arrays.items():
                    _write_array(group, name, array)
                saved.append(metric.name)
        if not saved:
            names = ", ".join(metric.name for metric in metrics)
            raise ConfigError(f"{names}: keeps nothing of the reals that could be saved; score directly")
    return saved


def read_header(path: Path) -> StatsHeader:
    """Return the header of a statistics file.

    Raises:
        StoreError: If it was written by a newer version.
    """
    with h5py.File(path, "r") as file:
        attributes = dict(file.attrs)
    if attributes["version"] != _VERSION:
        raise StoreError(f"{path}: statistics of version {attributes['version']}, this program reads {_VERSION}")
    height, width = attributes["size"]
    return StatsHeader(
        str(attributes["source"]), int(attributes["num_images"]), (int(height), int(width)), int(attributes["seed"])
    )


def load_stats(path: Path, metrics: Sequence[Metric], stack: ExitStack) -> None:
    """Give each metric its saved reals.

    Args:
        path: The statistics file.
        metrics: Those to score with.
        stack: Keeps the file open: metrics read from it when they compute.
    Raises:
        ConfigError: If the file lacks a metric that needs reals.
        StoreError: If the file is damaged.
    """
    try:
        file = stack.enter_context(h5py.File(path, "r"))
        raw = stack.enter_context(path.open("rb", buffering=0))
        for metric in metrics:
            if metric.name in file:
                metric.load_reals({name: _find_array(dataset, raw) for name, dataset in file[metric.name].items()})
            elif metric.needs_reals:
                raise ConfigError(
                    f"{path}: holds no statistics for {metric.name}, only for {', '.join(file)}; "
                    f"make it again with `swd stats --metrics`"
                )
    except (OSError, KeyError) as error:
        raise StoreError(f"{path}: damaged statistics ({error}); make them again with `swd stats`") from None


def _find_array(dataset: h5py.Dataset, raw: IO[bytes]) -> h5py.Dataset | RawArray:
    """Return a large dataset as plain numbers in the file, which threads can read past HDF5's one lock."""
    offset = dataset.id.get_offset()
    if offset is None or dataset.nbytes < _LARGE or not dataset.dtype.isnative:
        return dataset
    return RawArray(raw, offset, dataset.shape, dataset.dtype)


def _write_array(group: Any, name: str, array: np.ndarray[Any, Any] | StreamedArray) -> None:
    if not isinstance(array, StreamedArray):
        group.create_dataset(name, data=array)
        return
    dataset = group.create_dataset(name, shape=array.shape, dtype=array.dtype)
    start = 0
    for piece in array.pieces:
        dataset[start : start + len(piece)] = piece
        start += len(piece)
