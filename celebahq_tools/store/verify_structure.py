"""What a dataset's file must be made of: levels of one length, and one chunk where one is due."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from celebahq_tools.store.bands import Band, list_bands
from celebahq_tools.store.compression import require_filters, uses_gzip_alone
from celebahq_tools.store.layout import list_levels, name_level

# Images in more chunks than this, which only other programs write, are left to HDF5.
_MOST_BANDS = 256


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: Short stable identifier, such as ``chunk.damaged``.
        where: The level, file or manifest it is in.
        detail: What exactly, for people.
        chunk: First image of the chunk it is about, or -1.
    """

    kind: str
    where: str
    detail: str
    chunk: int = -1

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.detail}"


@dataclass(frozen=True, eq=False)
class LevelPlan:
    """One level, and how to read it.

    Attributes:
        dataset: The open HDF5 dataset.
        name: Its name.
        shape: (C, h, w).
        count: Number of images.
        chunk_length: Images to a chunk.
        chunks: Number of chunks.
        direct: Whether chunks are of one image under gzip alone, to be decompressed here, outside HDF5's global lock.
        bands: The chunks of one image, where they are known.
        missing: Numbers of the chunks that are not in the file; those of an image follow each other.
    """

    dataset: Any
    name: str
    shape: tuple[int, int, int]
    count: int
    chunk_length: int
    chunks: int
    direct: bool
    bands: tuple[Band, ...] = ()
    missing: frozenset[int] = field(default_factory=frozenset)

    def name_images(self, first: int) -> str:
        """Return how to call the images of the chunk that begins with an image."""
        last = min(first + self.chunk_length, self.count) - 1
        return f"image {first}" if last <= first else f"images {first} to {last}"

    def name_band(self, image: int, number: int) -> str:
        """Return how to call a chunk of an image."""
        return f"{self.name_images(image)}, {self.bands[number]}" if len(self.bands) > 1 else self.name_images(image)


def plan_levels(file: Any, path: Path, findings: list[Finding]) -> list[LevelPlan]:
    """Return the levels of an open file, largest first, and report what is wrong with their structure.

    Levels that cannot be used (another type, another length than the largest) are reported and left out.
    """
    # A name that is no longer text comes as bytes.
    named = [(name, node) for name, node in file.items() if isinstance(name, str) and name.startswith("data")]
    nodes = [node for _, node in named if isinstance(node, h5py.Dataset)]
    for node in nodes:
        require_filters(node)
    images = sorted((n for n in nodes if n.ndim == 4), key=lambda node: -node.shape[2] * node.shape[3])
    size = path.stat().st_size
    for node in images:
        # No chunk is smaller than a byte: such a number is damage, and counting up to it would take for ever.
        if max(node.shape) > size:
            where = node.name.lstrip("/")
            findings.append(Finding("level.shape", where, f"{node.shape} is more than {size} bytes can hold"))
    if findings:
        return []
    if not images or not images[0].shape[0]:
        findings.append(Finding("file.empty", path.name, "holds no images in levels named data*"))
        return []
    top = images[0]
    count, channels, height, width = top.shape
    known = {name_level(h, w): (channels, h, w) for h, w in list_levels(height, width)}
    for name in known.keys() - {node.name.lstrip("/") for node in images}:
        findings.append(Finding("level.missing", name, "is not in the file"))
    plans = []
    extents: list[tuple[int, int, str, int]] = []
    for node in images:
        name = node.name.lstrip("/")
        if node.dtype != np.uint8:
            findings.append(Finding("level.type", name, f"is {node.dtype}, not uint8"))
        elif known.get(name) != node.shape[1:]:
            findings.append(Finding("level.shape", name, f"holds images of {node.shape[1:]}"))
        elif node.shape[0] != count:
            findings.append(
                Finding("level.length", name, f"holds {node.shape[0]} images, {top.name.lstrip('/')} {count}")
            )
        else:
            plans.append(_plan_level(node, name, extents, findings))
    _check_extents(extents, size, findings)
    return plans


def _plan_level(node: Any, name: str, extents: list[tuple[int, int, str, int]], findings: list[Finding]) -> LevelPlan:
    count, shape = node.shape[0], node.shape[1:]
    if node.chunks is None:
        return LevelPlan(node, name, shape, count, 1, count, direct=False)
    length = node.chunks[0]
    per_image = math.prod(math.ceil(side / step) for side, step in zip(shape, node.chunks[1:], strict=True))
    if per_image > 1 and (length > 1 or per_image > _MOST_BANDS):
        # Some other program's choice; HDF5 reads it, and which chunk belongs to which image is its affair.
        return LevelPlan(node, name, shape, count, 1, count, direct=False)
    bands = list_bands(shape, node.chunks[1:])
    numbers: dict[tuple[int, ...], int] = {band.place: number for number, band in enumerate(bands)}
    due = math.ceil(count / length) * per_image
    found: set[int] = set()

    def note(chunk: Any) -> None:
        block, rest = divmod(int(chunk.chunk_offset[0]), length)
        place = numbers.get(tuple(map(int, chunk.chunk_offset[1:])), -1)
        number = block * per_image + place
        if rest or place < 0 or number >= due or number in found:
            findings.append(Finding("chunk.misplaced", name, f"a chunk at {chunk.chunk_offset} does not belong there"))
            return
        found.add(number)
        extents.append((chunk.byte_offset, chunk.size, name, block * length))

    node.id.chunk_iter(note)
    plan = LevelPlan(
        node,
        name,
        shape,
        count,
        length,
        due,
        direct=length == 1 and uses_gzip_alone(node),
        bands=bands,
        missing=frozenset(range(due)) - found,
    )
    for number in sorted(plan.missing):
        block, place = divmod(number, per_image)
        first = block * length
        findings.append(Finding("chunk.missing", name, f"{plan.name_band(first, place)} are not in the file", first))
    return plan


def _check_extents(extents: list[tuple[int, int, str, int]], size: int, findings: list[Finding]) -> None:
    """Report chunks outside the file, and chunks that lie over another."""
    end, previous = 0, ""
    for offset, length, name, first in sorted(extents):
        what = f"{name} image {first}"
        if offset + length > size:
            findings.append(Finding("chunk.outside", name, f"image {first} lies beyond the end of the file", first))
        elif offset < end:
            findings.append(Finding("chunk.overlap", name, f"image {first} lies over {previous}", first))
        end, previous = max(end, offset + length), what
