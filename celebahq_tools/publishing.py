"""The dataset of a build on its way to its name, in parts, each safe on the disk before its waiting faces go."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.atomic import sync_to_disk
from celebahq_tools.dataset_parts import Recipe, Tables, write_next_part
from celebahq_tools.store.compression import require_filters
from celebahq_tools.store.encoding import encode_face, save_encoded
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.layout import name_level
from celebahq_tools.store.partial_file import (
    CHECKPOINT,
    Checkpoint,
    list_extents,
    load_checkpoint,
    matches_checkpoint,
    restore_file,
    save_checkpoint,
)
from celebahq_tools.store.waiting import face_path
from celebahq_tools.types import ProgressListener


class Publication:
    """The dataset of a build on its way to ``--out``; another process goes on where a stopped one was.

    The file grows under a hidden name beside ``out``. After each part it is closed and flushed, and a checkpoint is
    written into the work folder; then, unless they are to stay, the part's waiting faces are deleted. So every face is
    at every moment whole in one of the two places. When the choice of faces changes, those in the file go back to where
    they waited.

    Args:
        out: The final file.
        work: The work folder, locked.
        faces: Folder of the waiting faces.
        journal: Knows which faces wait.
        listener: Is told of every face.
        keep_faces: Whether waiting faces stay although they are in the dataset.
    """

    def __init__(
        self, out: Path, work: Path, faces: Path, journal: Journal, listener: ProgressListener, *, keep_faces: bool
    ) -> None:
        self._out = out
        self._faces = faces
        self._journal = journal
        self._listener = listener
        self._keep_faces = keep_faces
        self._checkpoint_path = work / CHECKPOINT
        # Of the work folder: builds in different ones never share a file, and one that begins anew finds its old one.
        token = hashlib.sha256(os.fsencode(work.resolve())).hexdigest()[:12]
        self._file = out.with_name(f".{out.name}.{token}.building")
        self._checkpoint = load_checkpoint(self._checkpoint_path)
        # Where the checkpoint's faces are: in the unfinished file, in the finished one, or nowhere.
        self._source: Path | None = None
        self._finished = False
        if self._checkpoint is not None:
            self._find_source(self._checkpoint)

    def _find_source(self, checkpoint: Checkpoint) -> None:
        known, final = Path(checkpoint.facts["file"]), Path(checkpoint.facts["out"])
        beside = self._out.with_name(known.name)
        if beside.is_file() and final.name == self._out.name:  # the work folder may have been moved since
            self._source = self._file = beside
        elif known.is_file():
            self._source = known
        elif matches_checkpoint(final, checkpoint):
            self._source, self._finished = final, True

    @property
    def held(self) -> frozenset[int]:
        """Source indices of the faces in the file, whether or not they also wait."""
        if self._checkpoint is None or self._source is None:
            return frozenset()
        return frozenset(self._checkpoint.written.tolist())

    def tidy(self) -> None:
        """Delete an unfinished file that no checkpoint knows: it is large, and stays when a work folder is deleted."""
        if self._source is None:
            self._file.unlink(missing_ok=True)

    def write(self, kept: Sequence[int], recipe: Recipe, tables: Tables) -> None:
        """Write the faces to the file, going on where an earlier run stopped.

        Args:
            kept: Source indices, in the order of the dataset; at least one. Each waits or is in :attr:`held`.
            recipe: How to write it.
            tables: What else belongs in the file.
        Raises:
            DamagedFaceError: If a face is missing or damaged; what is written up to there stays.
            OSError: If the folder cannot be written or the disk is full; as above.
        """
        described = recipe.describe(tables)
        done = self._go_on(kept, described)
        self._listener.begin_stage("dataset", total=len(kept), done=done)
        while done < len(kept):
            try:
                end = write_next_part(self._file, self._faces, kept, done, recipe, self._listener, tables)
            except BaseException:
                # What the unfinished part takes may be what the disk lacks; a kill leaves it to the next run.
                with suppress(OSError):
                    self._roll_back()
                raise
            sync_to_disk(self._file)
            sync_to_disk(self._file.parent)
            facts = {
                "recipe": described,
                "file": str(self._file.absolute()),
                "out": str(self._out.absolute()),
                "complete": end == len(kept),
                "emptying": False,
            }
            self._take_checkpoint(self._file, np.array(kept[:end], np.int64), facts)
            self._source = self._file
            self._delete_waiting(kept[done:end])
            done = end

    def finish(self) -> None:
        """Give the file its final name, which is when the dataset appears.

        Raises:
            OSError: If the folder cannot be written.
        """
        self._file.replace(self._out)
        sync_to_disk(self._out.parent)
        self._source, self._finished = self._out, True
        if self._keep_faces:
            self._forget()

    def give_back(self) -> None:
        """Let the faces in the file wait in the work folder again, and delete the file.

        The file is emptied from its end, so that no more disk is needed than before. A face that cannot be read is left
        out; the build makes it again.

        Raises:
            OSError: If the disk is full; the next run goes on.
        """
        checkpoint, source = self._checkpoint, self._source
        if checkpoint is not None and source is not None:
            missing = set(checkpoint.written.tolist()) - self._journal.stored()
            if missing:
                self._recover(checkpoint, source, missing)
        self._forget()

    def _go_on(self, kept: Sequence[int], described: Mapping[str, Any]) -> int:
        """Return how many faces are in the file already, having brought it to its checkpoint; or begin a new one."""
        checkpoint = self._checkpoint
        if checkpoint is None or not self._fits(checkpoint, kept, described):
            self.give_back()
            return 0
        restore_file(self._file, checkpoint)
        written = checkpoint.written.tolist()
        self._delete_waiting(written)
        return len(written)

    def _fits(self, checkpoint: Checkpoint, kept: Sequence[int], described: Mapping[str, Any]) -> bool:
        """Return whether a file made from the checkpoint on will be the one that an undisturbed build makes."""
        written, facts = checkpoint.written.tolist(), checkpoint.facts
        return bool(
            self._source == self._file
            and self._file.stat().st_size >= checkpoint.length
            and not facts["emptying"]
            and facts["recipe"] == described
            and list(kept[: len(written)]) == written
            and facts["complete"] == (len(written) == len(kept))
            and not (self._keep_faces and set(written) - self._journal.stored())
        )

    def _recover(self, checkpoint: Checkpoint, source: Path, missing: set[int]) -> None:
        """Make waiting faces of those in a file, the last first, cutting the file behind them unless it is finished."""
        self._listener.begin_stage("faces back", total=len(missing), done=0)
        cut = not self._finished
        if cut:
            restore_file(source, checkpoint)
            checkpoint = self._take_checkpoint(source, checkpoint.written, {**checkpoint.facts, "emptying": True})
        extents = list_extents(source)
        written = checkpoint.written.tolist()
        length, size = checkpoint.facts["recipe"]["part_length"], checkpoint.facts["recipe"]["size"]
        for first in range((len(written) - 1) // length * length, -1, -length):
            if cut:
                restore_file(source, checkpoint)  # what was cut off holds indices as well
            with h5py.File(source, "r") as file:
                level = file[name_level(size, size)]
                require_filters(level)
                part = range(first, min(first + length, len(written)))
                saved = [
                    written[place]
                    for place in part
                    if written[place] in missing and self._recover_face(level, place, written[place])
                ]
            self._journal.mark_waiting(saved)
            if cut:
                before = extents[extents[:, 0] < first]
                os.truncate(source, int((before[:, 1] + before[:, 2]).max(initial=0)))

    def _recover_face(self, level: Any, place: int, index: int) -> bool:
        try:
            pixels = level[place]
        except OSError:
            return False
        # A part of the file that was cut off reads as zeros; no face is black all over, that would have no score.
        if not pixels.any():
            return False
        path = face_path(self._faces, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_encoded(path, encode_face(np.ascontiguousarray(pixels.transpose(1, 2, 0))))
        self._listener.advance(None)
        return True

    def _delete_waiting(self, indices: Iterable[int]) -> None:
        if self._keep_faces:
            return
        # First the rows: a face without a row is only untidy, a row without its face would be missed.
        gone = self._journal.stored().intersection(indices)
        self._journal.mark_deleted(gone)
        for index in gone:
            face_path(self._faces, index).unlink(missing_ok=True)

    def _roll_back(self) -> None:
        if self._checkpoint is None:
            self._file.unlink(missing_ok=True)
        else:
            restore_file(self._file, self._checkpoint)

    def _take_checkpoint(self, file: Path, written: NDArray[np.int64], facts: Mapping[str, Any]) -> Checkpoint:
        self._checkpoint = save_checkpoint(self._checkpoint_path, file, written, facts)
        return self._checkpoint

    def _forget(self) -> None:
        """Drop checkpoint and unfinished file, neither of which is needed any more."""
        if self._source is not None and not self._finished:
            self._source.unlink(missing_ok=True)
        self._checkpoint_path.unlink(missing_ok=True)
        self._checkpoint, self._source, self._finished = None, None, False
