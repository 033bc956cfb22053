"""The build: map photographs over workers, journal what became of each, keep the best, write the dataset."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools import __version__
from celebahq_tools.atomic import remove_partial, write_text_atomically
from celebahq_tools.build_config import BuildConfig
from celebahq_tools.dataset_parts import DamagedFaceError, Recipe
from celebahq_tools.errors import ConfigError, InputError, StoreError
from celebahq_tools.face_maker import FaceMaker, MadeFace
from celebahq_tools.folder_lock import lock_folder
from celebahq_tools.net_devices import serve_build
from celebahq_tools.plan import Plan, plan_build
from celebahq_tools.publishing import Publication
from celebahq_tools.rank.quality import FACE_COMPONENTS
from celebahq_tools.selection import Choice
from celebahq_tools.source.item_table import IndexSet
from celebahq_tools.store.encoding import save_encoded
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.labels import discard_labels
from celebahq_tools.store.manifest import manifest_path, reasons_path, write_manifest
from celebahq_tools.store.waiting import FACES_PER_FOLDER, face_path
from celebahq_tools.types import ItemRecord, ProgressListener, SourceItem
from celebahq_tools.workers import LONE_TRIALS, Crew, DaskCrew, LocalCrew, RayCrew, map_unordered

__all__ = ["BuildSummary", "NothingBuiltError", "plan_build", "run_build"]

JOURNAL, FACES, TOKEN = "journal.sqlite", "faces", "token"


@dataclass(frozen=True)
class BuildSummary:
    """What a finished build made.

    Attributes:
        out, manifest: The files made.
        found: Photographs and landmark rows seen.
        ranked: Faces made and scored.
        kept: Faces in the dataset.
        threshold: Lowest score in the dataset.
        rejected: Count by ``stage.reason``.
        work: The work folder, which is there only if it was kept.
    """

    out: Path
    manifest: Path
    found: int
    ranked: int
    kept: int
    threshold: float
    rejected: dict[str, int]
    work: Path


class NothingBuiltError(InputError):
    """Every photograph was rejected; there is no dataset."""


def run_build(
    config: BuildConfig, listener: ProgressListener, *, look_back: Callable[[BuildSummary], None] | None = None
) -> BuildSummary:
    """Build the dataset, going on where an earlier run of the same build stopped.

    Args:
        config: The settings.
        listener: Is told of every step.
        look_back: Called when the dataset is finished and before the work folder is removed: what was left out can
            still be seen then.
    Returns:
        What was made.
    Raises:
        NothingBuiltError: If no photograph gave a face; the manifest with the reasons is written all the same.
        OSError: If the disk is full or a folder cannot be written; run the same build again to go on.
        CelebahqError: As :func:`plan_build`; if another build is running in the work folder.
    """
    plan = plan_build(config)
    work = config.work_folder
    (work / FACES).mkdir(parents=True, exist_ok=True)
    with lock_folder(work, what="build", option="--work"), Journal(work / JOURNAL) as journal:
        journal.bind_settings(plan.settings)
        _require_same_source(plan, journal)
        with _note_run(journal, plan):
            build = _Build(plan, journal, listener)
            build.tidy()
            build.make_all()
            summary = build.publish()
    if look_back is not None:
        look_back(summary)
    # What failed for reasons of our own is tried again by the same command: then the rest must not be lost.
    keep_work = config.work is not None or any(reason.startswith("internal.") for reason in summary.rejected)
    if not keep_work:
        shutil.rmtree(work)
    if not summary.kept:
        raise NothingBuiltError(f"none of {summary.found} photographs gave a face; reasons in {summary.manifest}")
    return summary


def _require_same_source(plan: Plan, journal: Journal) -> None:
    """Make sure that the journal's rows are about the photographs of the plan: what is done is known by its number.

    Raises:
        ConfigError: If photographs were added or taken away so that others have moved.
    """
    for index, file in journal.files():
        now = plan.items.find_file(index)
        if now != file:
            raise ConfigError(
                f"{plan.config.work_folder}: was begun with other photographs: number {index} was {file} and is now "
                f"{now or 'none'}; put the folder of photographs back as it was, or pass another --work folder, or "
                "delete this one"
            )


@contextmanager
def _note_run(journal: Journal, plan: Plan) -> Iterator[None]:
    """Note start, end and circumstances of a build in its journal; a killed one stays without an end."""
    config = plan.config
    details = {
        "found": len(plan.items),
        "keep": config.keep,
        "out": str(config.out),
        "backend": config.backend,
        "workers": config.worker_count,
        "host": platform.node(),
        "pid": os.getpid(),
        "versions": {"celebahq_tools": __version__, "python": platform.python_version(), "numpy": np.__version__},
    }
    number = journal.begin_run(details)
    try:
        yield
    except BaseException as error:
        # The disk may be full, or the journal itself the problem: the first error is the one to report.
        with suppress(OSError, StoreError):
            journal.end_run(number, type(error).__name__)
        raise
    journal.end_run(number, "finished")


class _Build:
    """One run over a work folder that is locked."""

    def __init__(self, plan: Plan, journal: Journal, listener: ProgressListener) -> None:
        self.plan = plan
        self.config = plan.config
        self.journal = journal
        self.listener = listener
        self.faces = plan.config.work_folder / FACES
        # A work folder that is removed at the end need not hold what the dataset holds already.
        self.publication = Publication(
            plan.config.out,
            plan.config.work_folder,
            self.faces,
            journal,
            listener,
            keep_faces=plan.config.work is not None,
        )

    def tidy(self) -> None:
        """Bring the work folder and the journal in line: either may be behind after a kill or a power loss.

        Internal errors deserve another try.
        """
        for shard in self.faces.glob("*/"):
            remove_partial(shard)
        remove_partial(self.config.out.parent, self.config.out.name)
        self.publication.tidy()
        waiting = {int(path.stem) for path in self.faces.glob("*/*.npz")}
        known, held = self.journal.stored(), self.publication.held
        # Those on their way into the dataset, or out of it again, are no rubbish.
        self.journal.mark_waiting((waiting - known) & held)
        for index in waiting - known - held:
            face_path(self.faces, index).unlink()
        self.journal.mark_deleted(known - waiting)
        self.journal.forget(self.journal.rejected("internal"))
        # So do photographs that were not there and have come.
        part, items = IndexSet(self.plan.items.indices), self.plan.items
        missing = self.journal.rejected("source")
        self.journal.forget(index for index in missing if index in part and items.find_problem(index) is None)

    def make_all(self) -> None:
        """Work on every photograph that the journal does not know yet."""
        pending, total = self._list_pending(), len(self.plan.items)
        self.listener.begin_stage("faces", total=total, done=total - len(pending))
        self._make(pending)
        # Only now it is known how many faces each photograph has.
        self.plan = self.plan.add_other_faces(self.journal)
        others = self._list_pending()
        if len(others):
            self.listener.begin_stage("other faces", total=len(others), done=0)
            self._make(others)

    def _list_pending(self) -> NDArray[np.int64]:
        """Return the indices of the plan's items that the journal does not know yet."""
        indices = self.plan.items.indices
        return indices[~np.isin(indices, self.journal.done(), assume_unique=True)]

    def _make(self, pending: NDArray[np.int64]) -> None:
        """Work on photographs and record what becomes of them, deleting the worst faces when too many wait.

        Args:
            pending: Source indices, ascending.
        """
        if not len(pending):
            return
        for shard in np.unique(pending // FACES_PER_FOLDER):
            face_path(self.faces, int(shard) * FACES_PER_FOLDER).parent.mkdir(exist_ok=True)
        # One by one: items are made when a worker comes free for them.
        items = iter(self.plan.items.take(pending))
        token = ""
        local = self.config.backend == "loky"
        if not local:
            # A worker that finds this in the work folder shares it, and saves its faces there itself.
            token = secrets.token_hex(16)
            write_text_atomically(self.faces / TOKEN, token)
        with serve_build(self.config) as nets:
            work = FaceMaker(self.config, self.faces, token, nets)
            # Closed, so that the workers end before the processes that run nets for them.
            with closing(
                map_unordered(work, items, self._hire(len(pending)), give_up=_give_up, halve=local)
            ) as results:
                for made in results:
                    if made.face is not None:
                        save_encoded(face_path(self.faces, made.index), made.face)
                    self.journal.record(made.record)
                    self._delete_worst()
                    self.listener.advance(made.record)

    def _hire(self, tasks: int) -> Crew:
        if self.config.backend == "loky":
            return LocalCrew(min(self.config.worker_count, tasks))
        connect = DaskCrew if self.config.backend == "dask" else RayCrew
        return connect(self.config.scheduler)

    def _delete_worst(self) -> None:
        if self.journal.count_stored() <= self.plan.most_waiting:
            return
        worst = self.journal.stored() - set(self.plan.choose(self.journal).kept.tolist())
        # First the rows: a face without a row is only untidy, a row without its face would be missed at the end.
        self.journal.mark_deleted(worst)
        for index in worst:
            face_path(self.faces, index).unlink(missing_ok=True)

    def publish(self) -> BuildSummary:
        """Write dataset and manifest; a face that turns out damaged is made again."""
        while True:
            choice = self._complete_choice()
            try:
                self._write(choice)
                break
            except DamagedFaceError as error:
                self.journal.mark_deleted([error.index])
        rejected = self.journal.count_reasons(IndexSet(self.plan.items.indices))
        found, kept = len(self.plan.items), len(choice.kept)
        out = self.config.out
        manifest = manifest_path(out) if kept else reasons_path(out)
        work = self.config.work_folder
        return BuildSummary(
            out, manifest, found, found - sum(rejected.values()), kept, choice.threshold, rejected, work
        )

    def _complete_choice(self) -> Choice:
        """Return the final choice, making again what it asks for and is neither waiting nor in the unfinished dataset.

        This happens when more faces are to be kept than an earlier run kept, when a rule takes a face back that was
        out of reach before, or when a power loss took a face whose row survived. A face that can no longer be made
        becomes a rejection and leaves the choice, so that this ends.
        """
        while True:
            choice = self.plan.choose(self.journal)
            missing = sorted(set(choice.kept.tolist()) - self.journal.stored() - self.publication.held)
            if not missing:
                return choice
            self.listener.begin_stage("faces again", total=len(missing), done=0)
            self._make(np.array(missing))

    def _write(self, choice: Choice) -> None:
        kept = choice.kept.tolist()
        if not kept:
            self.publication.give_back()
            self._write_manifest(choice, reasons_path(self.config.out))
            return
        attributes: dict[str, str | int] = {"keep": self.config.keep, "duplicates": self.config.duplicates}
        recipe = Recipe(
            self.config.size, attributes | self.plan.settings, self.config.compression, self.plan.part_length
        )
        self.publication.write(kept, recipe, {} if self.plan.order is None else {"orig_idx": choice.kept})
        self._write_manifest(choice, manifest_path(self.config.out))
        discard_labels(self.config.out)
        self.publication.finish()

    def _write_manifest(self, choice: Choice, path: Path) -> None:
        part = IndexSet(self.plan.items.indices)
        write_manifest(
            path,
            (record for record in self.journal.records() if record.index in part),
            dataset_index={index: position for position, index in enumerate(choice.kept.tolist())},
            components=FACE_COMPONENTS,
            left_out=choice.reasons,
        )


def _give_up(item: SourceItem) -> MadeFace:
    detail = f"the system killed its worker {LONE_TRIALS} times while it worked on nothing else; is it too large?"
    return MadeFace(
        ItemRecord(item.index, item.file, landmarks=item.landmarks, stage="internal", reason="killed", detail=detail)
    )
