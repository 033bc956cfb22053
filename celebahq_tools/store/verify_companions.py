"""Whether the labels and the manifest beside a dataset fit it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from celebahq_tools.errors import StoreError
from celebahq_tools.store.labels import labels_path, read_label_array
from celebahq_tools.store.manifest import manifest_path, read_manifest
from celebahq_tools.store.verify_structure import Finding

_STATUSES = {"kept", "rejected", "ranked_out"}
_NUMBERS = re.compile(r"score|zoom|photo_fraction|quad_.*|(left|right)(eye|mouth)_[xy]|nose_[xy]")
_SHA256 = re.compile(r"([0-9a-f]{64})?")


def check_labels(path: Path, images: int, findings: list[Finding]) -> None:
    """Report labels that cannot be read, are not finite, or are not one row per image."""
    table = labels_path(path)
    if not table.is_file():
        return
    try:
        with table.open("rb") as stream:
            labels = read_label_array(stream, table.stat().st_size)
    except (OSError, ValueError, EOFError) as error:
        findings.append(Finding("labels.unreadable", table.name, str(error)))
        return
    if labels.ndim != 2 or len(labels) != images:
        findings.append(Finding("labels.shape", table.name, f"{labels.shape} for {images} images"))
    elif not np.isfinite(labels).all():
        row = int(np.flatnonzero(~np.isfinite(labels).all(axis=1))[0])
        findings.append(Finding("labels.not_finite", table.name, f"row {row} is not all numbers"))


def check_manifest(path: Path, images: int, findings: list[Finding]) -> int:
    """Report manifest rows that contradict themselves or the file, and return the number of rows.

    Kept rows and images must match one to one. A dataset without a manifest, such as the original's, has none to check.
    """
    table = manifest_path(path)
    if not table.is_file():
        return 0
    try:
        rows = read_manifest(table)
    except StoreError as error:
        findings.append(Finding("manifest.unreadable", table.name, str(error)))
        return 0
    kept: dict[int, int] = {}
    indices: set[str] = set()
    for number, row in enumerate(rows, start=2):
        problem = _find_problem(row)
        if not problem and row["index"] in indices:
            problem = f"index {row['index']} stands in an earlier line"
        indices.add(row["index"])
        if problem:
            findings.append(Finding("manifest.malformed", table.name, f"line {number}: {problem}"))
        elif row["status"] == "kept":
            position = int(row["dataset_index"])
            if position in kept:
                findings.append(
                    Finding("manifest.twice", table.name, f"lines {kept[position]} and {number} are image {position}")
                )
            elif position >= images:
                findings.append(
                    Finding("manifest.extra", table.name, f"line {number} is image {position}, the file has {images}")
                )
            kept[position] = number
    for position in range(images):
        if position not in kept:
            findings.append(Finding("manifest.missing", table.name, f"no row is image {position}"))
    return len(rows)


def _find_problem(row: dict[str, str]) -> str:
    """Return what is wrong with a row by itself, or an empty text."""
    if None in row or None in row.values():  # what the csv module puts where cells are too many or too few
        return "has another number of cells than the header"
    if not row["index"].isdecimal():
        return f"index {row['index']!r} is no number"
    if row["status"] not in _STATUSES:
        return f"status {row['status']!r} is unknown"
    if (row["status"] == "kept") != row["dataset_index"].isdecimal():
        return f"status {row['status']} with dataset_index {row['dataset_index']!r}"
    if (row["status"] == "kept") == bool(row["reason"]):
        return f"status {row['status']} with reason {row['reason']!r}"
    if not _SHA256.fullmatch(row["sha256"]):
        return f"sha256 {row['sha256']!r} is not 64 hexadecimal digits"
    for name, cell in row.items():
        if cell and _NUMBERS.fullmatch(name) and not _is_finite(cell):
            return f"{name} {cell!r} is no number"
    return ""


def _is_finite(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
