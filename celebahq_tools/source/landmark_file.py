"""Read five-point landmark files: CelebA's text format, the CSV exports of it, and JSON."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.source.landmark_json import FILE_KEYS, parse_points, read_json_rows
from celebahq_tools.types import LANDMARK_NAMES

_BLOCK = 4096
COLUMNS = tuple(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy")


@dataclass(frozen=True, eq=False)
class LandmarkRow:
    """One line of a landmark file: points (5, 2) float32, or the reason they cannot be used."""

    file: str
    points: NDArray[np.float32] | None
    problem: RejectionError | None = None


def iterate_landmark_file(path: Path) -> Iterator[LandmarkRow]:
    """Yield the rows of a landmark file in file order, each made only when it is asked for.

    The text format has a line with the count, a line with the ten column names, then ``name x y x y ...``. The CSV
    format has one header line whose columns may stand in any order: the ten, one that names the photographs, others.
    JSON is as :func:`celebahq_tools.source.landmark_json.read_json_rows` says. Rows that are malformed, not finite, or
    given twice come back with a problem instead of points: they are rejected one by one, not the file.

    Args:
        path: The file, told apart by its first characters and not by its name.
    Raises:
        InputError: If the file cannot be read or is none of these formats.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: a pipe or device; write the landmarks to a file, which is read more than once")
    with _open_text(path) as stream:
        read = _read_json if _find_first_character(stream) in ("{", "[") else _read_table
    # More than once, and never whole but for JSON: a row can be told to be a repeat only when all names are known.
    suspects = _find_repeats(hash(row.file) for row in read(path))
    counts = Counter(row.file for row in read(path) if hash(row.file) in suspects) if suspects else Counter[str]()
    for row in read(path):
        yield _mark_repeat(row, counts[row.file] or 1)


def _find_repeats(hashes: Iterable[int]) -> set[int]:
    """Return the numbers that come more than once: those of hundreds of thousands of names take little memory."""
    found = np.sort(np.fromiter(hashes, np.int64))
    return set(found[1:][found[1:] == found[:-1]].tolist())


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            yield stream
    except OSError as error:
        raise InputError(f"{path}: cannot read the landmarks: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; expected CelebA's list_landmarks_celeba.txt or its CSV") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV table ({error})") from None


def _find_first_character(stream: TextIO) -> str:
    """Return the first character that is not white space; empty if there is none."""
    while block := stream.read(_BLOCK):
        if block.strip():
            return block.lstrip()[0]
    return ""


def _read_json(path: Path) -> Iterator[LandmarkRow]:
    with _open_text(path) as stream:
        text = stream.read()
    for name, value in read_json_rows(path, text):
        try:
            yield _check_finite(name, parse_points(value))
        except ValueError as error:
            yield _bad_row(name, "malformed", str(error))


def _read_table(path: Path) -> Iterator[LandmarkRow]:
    rows: Iterator[list[str]]
    with _open_text(path) as stream:
        first = stream.readline()
        if "," in first:
            rows = csv.reader(chain([first], stream))
            header = [cell.strip() for cell in next(rows)]
            name = _find_name_column(header)
        elif re.fullmatch(r"\s*\d+\s*", first):
            header, name = ["file", *stream.readline().split()], 0
            rows = (_split_line(line, len(header) - 1) for line in stream)
        else:
            raise InputError(f"{path}: the first line is neither a count (CelebA's text format) nor a CSV header")
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            expected = f"expected the ten columns {COLUMNS[0]} ... {COLUMNS[-1]}"
            raise InputError(f"{path}: the header lacks {', '.join(missing)}; {expected}")
        order = [header.index(column) for column in COLUMNS]
        for cells in rows:
            if cells:
                yield _parse_row(cells, name, order, width=len(header))


def _find_name_column(header: list[str]) -> int:
    """Return which column of a CSV names the photographs: one that is called so, or the first with another name."""
    others = [column for column in header if column not in COLUMNS]
    known = [column for column in others if column.casefold() in FILE_KEYS]
    return header.index((known or [column for column in others if column] or others or header[:1])[0])


def _split_line(line: str, numbers: int) -> list[str]:
    """Return the name and the numbers of a row of CelebA's text; a name may have spaces in it."""
    cells = line.split()
    if len(cells) <= numbers + 1 or _is_number(cells[-numbers - 1]):
        return cells  # as it should be, or more numbers than there are columns
    return line.strip().rsplit(None, numbers)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse_row(cells: list[str], place: int, order: list[int], *, width: int) -> LandmarkRow:
    name = cells[place if place < len(cells) else 0].strip()
    if len(cells) != width:
        return _bad_row(name, "malformed", f"{len(cells)} fields instead of {width}")
    try:
        numbers = [float(cells[column]) for column in order]
    except ValueError:
        return _bad_row(name, "malformed", "a coordinate is not a number")
    with np.errstate(over="ignore"):  # too large becomes infinite, which is said to whoever asked
        points = np.array(numbers).astype(np.float32).reshape(5, 2)
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
