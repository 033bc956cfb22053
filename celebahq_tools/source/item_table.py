"""The photographs of a source in a few bytes each, so that memory hardly grows with their number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import RejectionError
from celebahq_tools.types import SourceItem


class ItemTable(Sequence[SourceItem]):
    """A sequence of :class:`SourceItem` that makes each one when it is asked for.

    An item costs its name, forty bytes of landmarks and, if it has one, its problem; as objects of their own it would
    be 1.5 kB.

    Args:
        folder: Where all the photographs lie.
        rows: Name in the folder, landmarks (5, 2) or None, and problem or None, of each photograph.
    """

    def __init__(
        self, folder: Path, rows: Iterable[tuple[str, NDArray[np.float32] | None, RejectionError | None]]
    ) -> None:
        self._folder = folder
        self._names: list[str] = []
        self._problems: dict[int, RejectionError] = {}
        points = bytearray()
        nothing = np.full((5, 2), np.nan, np.float32)
        for index, (name, landmarks, problem) in enumerate(rows):
            self._names.append(name)
            points += (nothing if landmarks is None else landmarks.astype(np.float32)).tobytes()
            if problem is not None:
                self._problems[index] = problem
        self._points = np.frombuffer(points, np.float32).reshape(-1, 5, 2)
        self._order = np.arange(len(self._names))

    @property
    def indices(self) -> NDArray[np.int64]:
        """Source indices of the items, in order."""
        return self._order

    def take(self, indices: NDArray[np.int64]) -> ItemTable:
        """Return the items of some source indices, sharing what is stored."""
        part = ItemTable.__new__(ItemTable)
        part.__dict__.update(self.__dict__)
        part._order = indices
        return part

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
        name = self._names[index]
        points = self._points[index]
        # A name that is not valid unicode is still listed, in a form that text files can hold.
        listed = name.encode("utf-8", "backslashreplace").decode("utf-8")
        landmarks = None if np.isnan(points[0, 0]) else points
        return SourceItem(index, listed, self._folder / name, landmarks, self._problems.get(index))


def list_indices(items: Sequence[SourceItem]) -> NDArray[np.int64]:
    """Return the source indices of items, in order."""
    if isinstance(items, ItemTable):
        return items.indices
    return np.fromiter((item.index for item in items), np.int64, len(items))
