"""The scored faces of a build as columns: light enough for all of CelebA."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.types import ItemRecord

KEPT, LEFT_OUT = "kept", "left out"
# Columns of every table; the score's parts follow.
_FIXED = 5


@dataclass(frozen=True, eq=False)
class FaceTable:
    """One row per scored face, in index order; of length N.

    Attributes:
        index: Position in the source.
        files: Names, as the source lists them.
        score: Quality score, NaN if it has none.
        part_names: Names of the score's parts.
        parts: (N, len(part_names)) float64.
        zoom: Output pixels per photograph pixel, NaN if unknown.
        photo_fraction: Share of the face that is photograph, NaN if unknown.
        position: Position in the dataset, -1 for faces left out.
    """

    index: NDArray[np.int64]
    files: list[str]
    score: NDArray[np.float64]
    part_names: tuple[str, ...]
    parts: NDArray[np.float64]
    zoom: NDArray[np.float64]
    photo_fraction: NDArray[np.float64]
    position: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which faces are in the dataset."""
        return self.position >= 0

    def crop_side(self, size: int) -> NDArray[np.float64]:
        """Return the side of each crop in pixels of its photograph, for faces of ``size`` pixels."""
        return size / self.zoom


def collect_faces(records: Iterable[ItemRecord], positions: dict[int, int]) -> FaceTable:
    """Return the scored ones of records in index order as a table.

    Args:
        records: Any records; rejections are passed over.
        positions: Source index to position in the dataset, of the kept ones.
    """
    files: list[str] = []
    # Numbers of all columns in a row, 8 bytes each: a tuple a face would be a hundred megabytes for CelebA.
    numbers = array("d")
    names: tuple[str, ...] = ()
    for record in records:
        if record.score is None:
            continue
        names = names or tuple(record.components)
        files.append(record.file)
        numbers.extend(
            (
                record.index,
                record.score,
                np.nan if record.zoom is None else record.zoom,
                np.nan if record.photo_fraction is None else record.photo_fraction,
                positions.get(record.index, -1),
                *(record.components.get(name, np.nan) for name in names),
            )
        )
    rows = np.frombuffer(numbers, np.float64).reshape(len(files), _FIXED + len(names))
    index, score, zoom, fraction, position = rows[:, :_FIXED].T.copy()
    return FaceTable(
        index.astype(np.int64),
        files,
        score,
        names,
        rows[:, _FIXED:].copy(),
        zoom,
        fraction,
        position.astype(np.int64),
    )
