"""Read five-point landmark files: CelebA's text format, the CSV exports of it, and JSON."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.source.landmark_json import parse_points, read_json_rows
from celebahq_tools.types import LANDMARK_NAMES

COLUMNS = tuple(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy")


@dataclass(frozen=True, eq=False)
class LandmarkRow:
    """One line of a landmark file: points (5, 2) float32, or the reason they cannot be used."""

    file: str
    points: NDArray[np.float32] | None
    problem: RejectionError | None = None


def read_landmark_file(path: Path) -> list[LandmarkRow]:
    """Return the rows of a landmark file in file order.

    The text format has a line with the count, a line with the ten column names, then ``name x y x y ...``. The CSV
    format has one header line whose ten columns may stand in any order. JSON is as
    :func:`celebahq_tools.source.landmark_json.read_json_rows` says. Rows that are malformed, not finite, or
    given twice come back with a problem instead of points: they are rejected one by one, not the file.

    Args:
        path: The file, told apart by its first characters and not by its name.
    Raises:
        InputError: If the file cannot be read or is none of these formats.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot read the landmarks: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; expected CelebA's list_landmarks_celeba.txt or its CSV") from None
    rows = _read_json(path, text) if text.lstrip()[:1] in ("{", "[") else _read_table(path, text)
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.file] = counts.get(row.file, 0) + 1
    return [_mark_repeat(row, counts[row.file]) for row in rows]


def _read_json(path: Path, text: str) -> list[LandmarkRow]:
    rows = []
    for name, value in read_json_rows(path, text):
        try:
            rows.append(_check_finite(name, parse_points(value)))
        except ValueError as error:
            rows.append(_bad_row(name, "malformed", str(error)))
    return rows


def _read_table(path: Path, text: str) -> list[LandmarkRow]:
    first, _, rest = text.partition("\n")
    fields = _split_csv(text) if "," in first else _split_text(path, first, rest)
    header, lines = fields
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise InputError(
            f"{path}: the header lacks {', '.join(missing)}; expected the ten columns {COLUMNS[0]} ... {COLUMNS[-1]}"
        )
    order = [header.index(column) for column in COLUMNS]
    return [_parse_row(cells, order, width=len(header)) for cells in lines if cells]


def _split_text(path: Path, first: str, rest: str) -> tuple[list[str], list[list[str]]]:
    if not re.fullmatch(r"\s*\d+\s*", first):
        raise InputError(f"{path}: the first line is neither a count (CelebA's text format) nor a CSV header")
    header, _, body = rest.partition("\n")
    return ["file", *header.split()], [line.split() for line in body.splitlines()]


def _split_csv(text: str) -> tuple[list[str], list[list[str]]]:
    rows = list(csv.reader(io.StringIO(text)))
    return [cell.strip() for cell in rows[0]], rows[1:]


def _parse_row(cells: list[str], order: list[int], *, width: int) -> LandmarkRow:
    name = cells[0].strip()
    if len(cells) != width:
        return _bad_row(name, "malformed", f"{len(cells)} fields instead of {width}")
    try:
        points = np.array([float(cells[column]) for column in order], dtype=np.float32).reshape(5, 2)
    except ValueError:
        return _bad_row(name, "malformed", "a coordinate is not a number")
    return _check_finite(name, points)


def _check_finite(name: str, points: NDArray[np.float32]) -> LandmarkRow:
    if not np.isfinite(points).all():
        return _bad_row(name, "not_finite", "a coordinate is NaN or infinite")
    return LandmarkRow(name, points)


def _mark_repeat(row: LandmarkRow, count: int) -> LandmarkRow:
    if count == 1:
        return row
    return _bad_row(row.file, "duplicate", f"{count} rows name this file; keep one")


def _bad_row(file: str, reason: str, detail: str) -> LandmarkRow:
    return LandmarkRow(file, None, RejectionError("landmarks", reason, detail))
