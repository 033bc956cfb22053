"""The manifest beside a dataset: one CSV row per photograph, kept or not, and why."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import RejectionError, StoreError
from celebahq_tools.printable import make_printable
from celebahq_tools.source.landmark_file import COLUMNS as LANDMARK_COLUMNS
from celebahq_tools.types import ItemRecord

QUAD_COLUMNS = tuple(f"quad_{corner}_{axis}" for corner in ("nw", "sw", "se", "ne") for axis in "xy")
# What the guards measured: misfit of the landmarks to a head and distance to the detector's, in eye distances; and how
# many faces the detector found, where it looked for them.
_FACTS = ("misfit", "detector_distance", "faces")
_LEADING = ("index", "file", "sha256", "status", "dataset_index", "reason", "detail", "score")


def manifest_path(dataset: Path) -> Path:
    """Return the manifest's path for a dataset: ``faces.h5`` has ``faces.manifest.csv``."""
    return dataset.with_name(f"{dataset.stem}.manifest.csv")


def rejected_path(dataset: Path) -> Path:
    """Return the path of what takes the place of a manifest that must stay: ``faces.h5`` has ``faces.rejected.csv``."""
    return dataset.with_name(f"{dataset.stem}.rejected.csv")


def reasons_path(dataset: Path) -> Path:
    """Return where to say why no image could be used: the manifest, unless an older dataset has one that fits it."""
    return rejected_path(dataset) if dataset.exists() else manifest_path(dataset)


def write_manifest(
    path: Path,
    records: Iterable[ItemRecord],
    *,
    dataset_index: Mapping[int, int],
    components: Iterable[str],
    left_out: Mapping[int, tuple[str, str]] | None = None,
) -> None:
    """Write the manifest; the file is whole or absent.

    Args:
        path: CSV file, replaced if it exists.
        records: Every photograph in index order.
        dataset_index: Source index to position in the dataset, of the kept ones.
        components: Names of the score's parts, one column each.
        left_out: Source index to reason and detail of scored faces that were left out for more than their score.
    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    parts = list(components)
    header = [*_LEADING, *parts, "zoom", "photo_fraction", *QUAD_COLUMNS, *LANDMARK_COLUMNS, *_FACTS]
    with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for record in records:
            position = dataset_index.get(record.index)
            rejected = f"{record.stage}.{record.reason}" if record.reason else ""
            reason, detail = (left_out or {}).get(record.index, ("rank.below_threshold", record.detail))
            status = "kept" if position is not None else "rejected" if rejected else "ranked_out"
            writer.writerow(
                [
                    record.index,
                    record.file,
                    record.sha256,
                    status,
                    "" if position is None else position,
                    rejected or ("" if position is not None else reason),
                    detail if status == "ranked_out" else record.detail,
                    _cell(record.score),
                    *(_cell(record.components.get(part)) for part in parts),
                    _cell(record.zoom),
                    _cell(record.photo_fraction),
                    *([""] * 8 if record.quad is None else map(_cell, record.quad.ravel().tolist())),
                    *([""] * 10 if record.landmarks is None else map(_cell, record.landmarks.ravel().tolist())),
                    *(_cell(record.facts.get(name)) for name in _FACTS),
                ]
            )


SourceRowWriter: TypeAlias = Callable[[int, str, str, "int | RejectionError"], None]
"""Takes index, file, sha256, and the position in the dataset or the reason why there is none."""


@contextmanager
def write_source_manifest(path: Path) -> Iterator[SourceRowWriter]:
    """Yield a function that writes the row of one image of a ready-made set; the file is whole or absent.

    The columns are the first ones of a build's manifest; there is no score.

    Args:
        path: CSV file, replaced if it exists.
    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_LEADING)

        def write_row(index: int, file: str, sha256: str, outcome: int | RejectionError) -> None:
            if isinstance(outcome, RejectionError):
                reason = f"{outcome.stage}.{outcome.reason}"
                detail = make_printable(outcome.detail)
                writer.writerow([index, file, sha256, "rejected", "", reason, detail, ""])
            else:
                writer.writerow([index, file, sha256, "kept", outcome, "", "", ""])

        yield write_row


def read_manifest(path: Path) -> list[dict[str, str]]:
    """Return the manifest's rows by column name.

    Raises:
        StoreError: If the file is missing or not a manifest.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{path}: cannot read the manifest ({error})") from None
    if rows and any(name not in rows[0] for name in _LEADING):
        raise StoreError(f"{path}: not a manifest; expected columns {', '.join(_LEADING)}")
    return rows


@dataclass(frozen=True)
class KeptRow:
    """A row of the manifest whose image is in the dataset; NaN for the score of an imported image."""

    index: int
    file: str
    position: int
    score: float


def read_kept(path: Path, images: int) -> list[KeptRow]:
    """Return the rows of the images in a dataset, in its order.

    Args:
        path: The manifest.
        images: How many the dataset holds.
    Raises:
        StoreError: If the file is missing, not a manifest, damaged, or does not fit the images one to one.
    """
    try:
        rows = [
            KeptRow(int(row["index"]), row["file"], int(row["dataset_index"]), float(row["score"] or "nan"))
            for row in read_manifest(path)
            if row["status"] == "kept"
        ]
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path}: a row cannot be read ({error}); see celebahq verify") from None
    rows.sort(key=lambda row: row.position)
    if [row.position for row in rows] != list(range(images)):
        raise StoreError(f"{path}: its rows do not match the {images} images; see celebahq verify")
    return rows


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"
