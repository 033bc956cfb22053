"""A dataset written in parts from the faces that wait in a work folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celebahq_tools import __version__
from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import StoreError
from celebahq_tools.store.encoding import load_encoded
from celebahq_tools.store.waiting import face_path
from celebahq_tools.store.writer import write_part
from celebahq_tools.types import ProgressListener

Tables = Mapping[str, NDArray[np.int64]]
"""Name to a list with one number per image, written beside the levels."""


class DamagedFaceError(StoreError):
    """A face that waits in the work folder cannot be read."""

    def __init__(self, index: int) -> None:
        super().__init__(f"face {index} in the work folder is damaged; run the same build again, which makes it again")
        self.index = index


@dataclass(frozen=True)
class Recipe:
    """What decides the bytes of a dataset, besides its faces.

    Attributes:
        size: Side of the faces in pixels.
        attributes: Settings, for the file's root.
        compression: As of :func:`celebahq_tools.store.writer.create_dataset`.
        part_length: Faces in one part; see :func:`celebahq_tools.plan.choose_part_length`.
    """

    size: int
    attributes: Mapping[str, str | int]
    compression: str
    part_length: int

    @property
    def stored_attributes(self) -> dict[str, str | int]:
        """The attributes as they stand in the file."""
        # The source is a path of one machine; the manifest's sha256 column identifies the photographs.
        stored = {name: value for name, value in self.attributes.items() if name != "source"}
        return {**stored, "celebahq_tools_version": __version__}

    def describe(self, tables: Iterable[str]) -> dict[str, Any]:
        """Return all of it and the names of the tables as JSON can hold it."""
        return {
            "size": self.size,
            "attributes": self.stored_attributes,
            "compression": self.compression,
            "part_length": self.part_length,
            "tables": sorted(tables),
        }


@contextmanager
def write_faces(
    out: Path, faces: Path, kept: Sequence[int], recipe: Recipe, listener: ProgressListener
) -> Iterator[None]:
    """Write a dataset of faces that wait in a work folder, and stay there; it appears when the block ends.

    Args:
        out: The file; whole or absent.
        faces: Folder of the waiting faces.
        kept: Source indices, in the order of the dataset; at least one.
        recipe: How to write it.
        listener: Is told of every face.
    Raises:
        DamagedFaceError: If a face is missing or damaged.
        OSError: If the folder cannot be written or the disk is full.
    """
    listener.begin_stage("dataset", total=len(kept), done=0)
    with write_atomically(out) as temporary:
        for done in range(0, len(kept), recipe.part_length):
            write_next_part(temporary, faces, kept, done, recipe, listener, {})
        yield


def write_next_part(
    file: Path, faces: Path, kept: Sequence[int], done: int, recipe: Recipe, listener: ProgressListener, tables: Tables
) -> int:
    """Add the next part to a file of ``done`` faces, and the tables with the last; returns how many it has now."""
    end = min(done + recipe.part_length, len(kept))
    with write_part(
        file,
        fresh=done == 0,
        height=recipe.size,
        width=recipe.size,
        attributes=recipe.stored_attributes,
        compression=recipe.compression,
    ) as writer:
        for index in kept[done:end]:
            try:
                face = load_encoded(face_path(faces, index))
            except StoreError:
                raise DamagedFaceError(index) from None
            writer.append_encoded(face)
            listener.advance(None)
        if end == len(kept):
            for name, values in tables.items():
                writer.add_table(name, values)
    return end
