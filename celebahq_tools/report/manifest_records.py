"""The rows of a manifest as records, one at a time."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import StoreError
from celebahq_tools.source.landmark_file import COLUMNS as LANDMARK_COLUMNS
from celebahq_tools.store.manifest import QUAD_COLUMNS
from celebahq_tools.types import ItemRecord


@dataclass(frozen=True, eq=False)
class ManifestRow:
    """One row.

    Attributes:
        record: What became of the photograph.
        position: Where the face is in the dataset, or None.
        left_out: (reason, detail) of a face that was scored and not kept.
    """

    record: ItemRecord
    position: int | None
    left_out: tuple[str, str]


def read_manifest_records(path: Path) -> Iterator[ManifestRow]:
    """Yield the rows of a manifest; the score's parts are the columns between ``score`` and ``zoom``.

    Raises:
        StoreError: If the file is missing, not a manifest, or holds a cell that cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            names = list(reader.fieldnames or ())
            missing = {"index", "file", "sha256", "status", "dataset_index", "reason", "score"} - set(names)
            if missing:
                raise StoreError(f"{path}: not a manifest; it has no column {', '.join(sorted(missing))}")
            # An imported dataset's manifest ends with the score, which is empty.
            end = names.index("zoom") if "zoom" in names else len(names)
            parts = [name for name in names[names.index("score") + 1 : end] if name]
            for row in reader:
                try:
                    yield _parse_row(row, parts)
                except (ValueError, TypeError, AttributeError) as error:
                    raise StoreError(f"{path}: line {reader.line_num} cannot be read ({error})") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{path}: cannot read the manifest ({error})") from None


def _parse_row(row: Mapping[str, str], parts: Sequence[str]) -> ManifestRow:
    rejected = row["status"] == "rejected"
    kept = row["status"] == "kept"
    score = _read_number(row["score"])
    stage, _, reason = row["reason"].partition(".")
    if score is None and not rejected:
        score = math.nan  # an imported dataset has faces without scores
    record = ItemRecord(
        int(row["index"]),
        row["file"],
        row["sha256"],
        None if (points := _read_points(row, LANDMARK_COLUMNS)) is None else points.astype(np.float32),
        _read_points(row, QUAD_COLUMNS),
        _read_number(row.get("zoom", "")),
        _read_number(row.get("photo_fraction", "")),
        None if rejected else score,
        {part: value for part in parts if (value := _read_number(row[part])) is not None},
        stage if rejected else "",
        (reason or "unknown") if rejected else "",
        row.get("detail") or "" if rejected else "",
    )
    left_out = ("", "") if kept or rejected else (row["reason"], row.get("detail") or "")
    return ManifestRow(record, int(row["dataset_index"]) if kept else None, left_out)


def _read_number(cell: str) -> float | None:
    return float(cell) if cell else None


def _read_points(row: Mapping[str, str], columns: Sequence[str]) -> NDArray[np.float64] | None:
    cells = [row.get(column) for column in columns]
    return np.array(cells, dtype=np.float64).reshape(-1, 2) if all(cells) else None
