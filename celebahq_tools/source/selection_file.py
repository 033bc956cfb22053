"""Read the official lists of which photographs CelebA-HQ was made from, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from celebahq_tools.errors import InputError

_COLUMNS = ("idx", "orig_idx", "orig_file")


@dataclass(frozen=True)
class SelectionRow:
    """One image of the official set.

    Attributes:
        position: Where it stands in the dataset, 0-based (the file's ``idx``).
        index: 0-based place in CelebA (``orig_idx``).
        file: Name of the in-the-wild photograph (``orig_file``).
    """

    position: int
    index: int
    file: str


def read_selection_file(path: Path) -> list[SelectionRow]:
    """Return the rows of a selection file in the order of their positions.

    Both official forms are read: ``image_list.txt`` (``idx orig_idx orig_file proc_md5 final_md5``) and
    CelebAMask-HQ's ``CelebA-HQ-to-CelebA-mapping.txt`` (``idx orig_idx orig_file``); columns after these are ignored.

    Args:
        path: Text file of columns separated by blanks, with one header line.
    Raises:
        InputError: If the file cannot be read or is neither form, or names a photograph or a position twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot read the selection: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; expected image_list.txt or the mapping of CelebAMask-HQ") from None
    header = lines[0].split() if lines else []
    if any(name not in header for name in _COLUMNS):
        raise InputError(
            f"{path}: the first line must name the columns {', '.join(_COLUMNS)}, as image_list.txt and "
            "CelebA-HQ-to-CelebA-mapping.txt do"
        )
    places = [header.index(name) for name in _COLUMNS]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split()
        if not cells:
            continue
        try:
            position, index, file = (cells[place] for place in places)
            rows.append(SelectionRow(int(position), int(index), file))
        except (ValueError, IndexError):
            raise InputError(f"{path}: line {number} is not a row of {' '.join(_COLUMNS)}: {line[:60]!r}") from None
    for what in ("position", "file"):
        seen = [getattr(row, what) for row in rows]
        if len(set(seen)) != len(seen):
            twice = next(value for place, value in enumerate(seen) if value in seen[:place])
            raise InputError(f"{path}: {what} {twice} stands in several rows; keep one")
    if not rows:
        raise InputError(f"{path}: names no photographs")
    return sorted(rows, key=lambda row: row.position)
