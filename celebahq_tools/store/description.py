"""What a dataset file is: sizes, levels, compression, labels, manifest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from celebahq_tools.errors import StoreError
from celebahq_tools.store.bands import choose_bands
from celebahq_tools.store.compression import list_filters
from celebahq_tools.store.labels import labels_path
from celebahq_tools.store.layout import choose_chunk, list_levels, name_level
from celebahq_tools.store.manifest import manifest_path, read_manifest
from celebahq_tools.store.reader import DatasetReader

FILTER_NAMES = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf", 32001: "blosc", 32015: "zstd", 32026: "blosc2"}


@dataclass(frozen=True)
class LevelDescription:
    """One level of a dataset.

    Attributes:
        name: HDF5 name.
        shape: (N, C, H, W).
        chunk: Chunk shape, or None for contiguous data.
        filters: Names of the filters that a chunk passes, in order.
        stored_bytes: Bytes in the file.
    """

    name: str
    shape: tuple[int, int, int, int]
    chunk: tuple[int, ...] | None
    filters: tuple[str, ...]
    stored_bytes: int

    @property
    def raw_bytes(self) -> int:
        """Bytes of the pixels."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class DatasetDescription:
    """A dataset file.

    Attributes:
        path: The file.
        file_bytes: Its size.
        levels: Largest first.
        differences: What differs from the layout that the original's programs and ours write; empty if nothing does.
        attributes: Of the file's root, as text.
        labels: What the labels are, or None.
        statuses: Count of the manifest's rows by status; empty without a manifest.
        reasons: Count of the manifest's rejections by reason, most frequent first.
    """

    path: Path
    file_bytes: int
    levels: tuple[LevelDescription, ...]
    differences: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    labels: str | None = None
    statuses: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.levels[0].shape[0]


def describe_dataset(path: Path) -> DatasetDescription:
    """Return what a dataset file is, without reading its images.

    Raises:
        StoreError: If it is missing, damaged or no dataset of images, or its labels or manifest cannot be read.
    """
    with DatasetReader(path) as reader, h5py.File(path, "r") as file:
        sizes = {shape: f"data{shape[2]}x{shape[1]}" for shape in reader.shapes}
        levels = tuple(_describe_level(node) for node in _list_nodes(file, reader.shapes))
        labels = reader.labels
        attributes = {name: str(value) for name, value in reader.attributes.items()}
        differences = _compare_layout(levels, set(sizes))
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    if manifest_path(path).is_file():
        for row in read_manifest(manifest_path(path)):
            statuses[row["status"]] += 1
            if row["status"] == "rejected":
                reasons[row["reason"]] += 1
    return DatasetDescription(
        path,
        path.stat().st_size,
        levels,
        differences,
        attributes,
        None if labels is None else f"{labels.shape[1]} {_name_labels(labels)} in {labels_path(path).name}",
        dict(statuses),
        dict(reasons.most_common()),
    )


def _list_nodes(file: Any, shapes: list[tuple[int, int, int]]) -> list[Any]:
    levels = (node for name, node in file.items() if name.startswith("data") and isinstance(node, h5py.Dataset))
    nodes = {tuple(node.shape[1:]): node for node in levels}
    try:
        return [nodes[shape] for shape in shapes]
    except KeyError as error:
        raise StoreError(f"{file.filename}: level {error} disappeared") from None


def _describe_level(node: Any) -> LevelDescription:
    filters = tuple(FILTER_NAMES.get(number, f"filter {number}") for number in list_filters(node))
    return LevelDescription(node.name.lstrip("/"), node.shape, node.chunks, filters, node.id.get_storage_size())


def _compare_layout(levels: tuple[LevelDescription, ...], shapes: set[tuple[int, int, int]]) -> tuple[str, ...]:
    _, channels, height, width = levels[0].shape
    found = []
    missing = [name_level(h, w) for h, w in list_levels(height, width) if (channels, h, w) not in shapes]
    if missing:
        found.append(f"no level {', '.join(missing)}")
    for level in levels:
        if level.name != name_level(*level.shape[2:]):
            found.append(f"{level.name} is not named {name_level(*level.shape[2:])}")
        if level.chunk not in (choose_bands(*level.shape[1:]), choose_chunk(*level.shape[1:])):
            found.append(f"{level.name} has chunks {level.chunk}")
        if level.filters != ("gzip",):
            found.append(f"{level.name} is compressed with {' + '.join(level.filters) or 'nothing'}")
    return tuple(found)


def _name_labels(labels: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    one_hot = ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()
    return "classes" if one_hot else "attributes"
