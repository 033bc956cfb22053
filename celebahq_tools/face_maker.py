"""A photograph's work as a function that any worker can be handed: of this process, this machine or another."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from celebahq_tools.allocator import keep_freed_blocks
from celebahq_tools.build_config import BuildConfig
from celebahq_tools.errors import InputError
from celebahq_tools.process import load_stages, process_item
from celebahq_tools.restore.net_service import NetService
from celebahq_tools.store.encoding import EncodedFace, save_encoded
from celebahq_tools.store.waiting import face_path
from celebahq_tools.types import ItemRecord, SourceItem
from celebahq_tools.workers import use_one_thread


@dataclass(frozen=True)
class MadeFace:
    """What comes back from a worker.

    Attributes:
        record: What became of the photograph.
        face: The face, if the worker does not share the work folder; else it has saved it.
    """

    record: ItemRecord
    face: EncodedFace | None = None

    @property
    def index(self) -> int:
        """Of the photograph."""
        return self.record.index


@dataclass(frozen=True)
class FaceMaker:
    """:func:`process_item` as a function of the item alone, for any worker of this machine or another.

    Attributes:
        config: Settings of the build.
        faces: Folder where finished faces wait.
        token: Empty on the coordinator's own machine. Else a worker that finds it in the file ``token`` of ``faces``
            shares that folder and saves faces there; others send them back.
        nets: Where nets run, if not in the worker.
    """

    config: BuildConfig
    faces: Path
    token: str = ""
    nets: NetService | None = None

    def __call__(self, item: SourceItem) -> MadeFace:
        """Return what became of an item.

        Raises:
            InputError: If this machine does not see the photographs.
        """
        keep_freed_blocks()
        load_stages(self.config, self.nets)
        use_one_thread()
        path = face_path(self.faces, item.index)
        if self.token and not item.path.parent.is_dir():
            raise InputError(
                f"{item.path.parent}: the worker on {platform.node()} sees no such folder; "
                "mount the photographs at the same place on every machine"
            )
        if not self.token or self._shares_folder():
            return MadeFace(process_item(item, self.config, partial(save_encoded, path), self.nets))
        finished: list[EncodedFace] = []
        record = process_item(item, self.config, finished.append, self.nets)
        return MadeFace(record, finished[0] if finished else None)

    def _shares_folder(self) -> bool:
        try:
            return (self.faces / "token").read_text() == self.token
        except OSError:
            return False
