"""The photographs of a source in a few bytes each, so that memory hardly grows with their number."""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.allocator import give_back_freed_memory
from celebahq_tools.errors import RejectionError
from celebahq_tools.printable import make_printable
from celebahq_tools.source.landmark_file import LandmarkRow
from celebahq_tools.types import SourceItem


class ItemTable(Sequence[SourceItem]):
    """A sequence of :class:`SourceItem` that makes each one when it is asked for.

    An item costs its name, sixteen bytes, forty bytes of landmarks if the source has any and, if it has one, its
    problem; as objects of their own it would be 1.5 kB.

    Args:
        folder: Where all the photographs lie.
        rows: What is known of each photograph, by its name in the folder.
        detected: Whether the landmarks are still to be detected: items then say which face of their photograph they
            are.
        most_faces: Room in the numbering for the faces of one photograph: number n has n * most_faces and those after.
    """

    def __init__(
        self, folder: Path, rows: Iterable[LandmarkRow], *, detected: bool = False, most_faces: int = 1
    ) -> None:
        self._folder = folder
        self._detected = detected
        self._most_faces = most_faces
        self._problems: dict[int, RejectionError] = {}
        # All names in one piece, since a string object is several times its letters; name n ends at ends[n].
        names, ends, points = bytearray(), array("q", [0]), bytearray()
        nothing = np.full((5, 2), np.nan, np.float32)
        for number, row in enumerate(rows):
            names += row.file.encode("utf-8", "surrogatepass")
            ends.append(len(names))
            if not detected:
                points += (nothing if row.points is None else row.points.astype(np.float32)).tobytes()
            if row.problem is not None:
                self._problems[number] = row.problem
        # Not copied: the copies would be the largest part of what listing takes.
        self._names, self._ends = names, np.frombuffer(ends, np.int64)
        self._points = np.frombuffer(points, np.float32).reshape(-1, 5, 2)
        self._points.flags.writeable = False
        self._order = np.arange(len(ends) - 1) * most_faces
        give_back_freed_memory()

    @property
    def indices(self) -> NDArray[np.int64]:
        """Source indices of the items, in order."""
        return self._order

    def find_file(self, index: int) -> str | None:
        """Return the listed name of the photograph that a source index stands for; None if there is none."""
        number = index // self._most_faces
        return make_printable(self._find_name(number)) if 0 <= number < len(self._ends) - 1 else None

    def find_problem(self, index: int) -> RejectionError | None:
        """Return what is known to be wrong with the photograph that a source index stands for."""
        return self._problems.get(index // self._most_faces)

    def _find_name(self, number: int) -> str:
        return self._names[self._ends[number] : self._ends[number + 1]].decode("utf-8", "surrogatepass")

    def take(self, indices: NDArray[np.int64]) -> ItemTable:
        """Return the items of some source indices, sharing what is stored."""
        part = ItemTable.__new__(ItemTable)
        part.__dict__.update(self.__dict__)
        part._order = indices
        return part

    def add_faces(self, found: Mapping[int, int]) -> ItemTable:
        """Return these items and, after them, the other faces of their photographs.

        Args:
            found: Faces in a photograph by its first index; those that the numbering has no room for are left out.
        """
        others = [
            index + face
            for index in self._order.tolist()
            for face in range(1, min(found.get(index, 0), self._most_faces))
        ]
        return self.take(np.concatenate([self._order, np.array(others, np.int64)]))

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> SourceItem: ...

    @overload
    def __getitem__(self, place: slice) -> ItemTable: ...

    def __getitem__(self, place: int | slice) -> SourceItem | ItemTable:
        if isinstance(place, slice):
            return self.take(self._order[place])
        index = int(self._order[place])
        number, face = divmod(index, self._most_faces)
        name = self._find_name(number)
        listed = make_printable(name)
        problem = self._problems.get(number)
        if self._detected:
            return SourceItem(index, listed, self._folder / name, None, problem, face)
        points = self._points[number]
        landmarks = None if np.isnan(points[0, 0]) else points
        return SourceItem(index, listed, self._folder / name, landmarks, problem)


class IndexSet(Container[int]):
    """Source indices, of which it is quick to say whether a number is one: a byte each, where a set takes sixty.

    Args:
        indices: In any order, none negative.
    """

    def __init__(self, indices: NDArray[np.int64]) -> None:
        self._marks = np.zeros(int(indices.max(initial=-1)) + 1, bool)
        self._marks[indices] = True

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and 0 <= index < len(self._marks) and bool(self._marks[index])


def match_rows(rows: Iterable[LandmarkRow], photos: Iterable[str], folder: str) -> Iterator[LandmarkRow]:
    """Yield the rows, then one per photograph that no row names; a row without a photograph gets that for its problem.

    Args:
        rows: In the landmark file's order.
        photos: Names of all photographs, in the order in which those without a row are to come.
        folder: Where they lie, for the message.
    """
    is_named = dict.fromkeys(photos, False)
    for row in rows:
        # Also turns away names such as "../secret.jpg": only what was found in the folder is there.
        if row.file in is_named:
            is_named[row.file] = True
            yield row
        else:
            yield replace(row, problem=row.problem or RejectionError("source", "missing_file", f"not in {folder}/"))
    for name, named in is_named.items():
        if not named:
            yield LandmarkRow(name, None, RejectionError("landmarks", "missing", "no row names it"))
