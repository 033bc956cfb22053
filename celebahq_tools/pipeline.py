"""The build: map photographs over workers, journal what became of each, keep the best, write the dataset."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from celebahq_tools import __version__
from celebahq_tools.build_config import PIPELINE_VERSION, BuildConfig
from celebahq_tools.errors import CelebahqError, ConfigError, InputError
from celebahq_tools.process import begin_worker, face_path, process_item
from celebahq_tools.rank.spectrum import COMPONENT_NAMES
from celebahq_tools.restore import Kind, load_restorer
from celebahq_tools.selection import Choice, choose_faces
from celebahq_tools.source.celeba import find_image_folder, find_landmark_file, list_celeba
from celebahq_tools.store.encoding import load_encoded
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.manifest import manifest_path, write_manifest
from celebahq_tools.store.writer import create_dataset
from celebahq_tools.types import ItemRecord, SourceItem
from celebahq_tools.weights import hash_file, list_weights

# Faces waiting in the work folder may exceed the number to keep by this much before the worst are deleted.
WAITING_FACTOR = 1.1
# A face of 1024x1024 with all its levels, compressed: measured on real photographs.
_BYTES_PER_PIXEL = 2.1
# A worker can be killed when its face is saved but not yet reported, so that a round seems to have given nothing; a
# machine without memory for the work kills again and again.
_FRUITLESS_ROUNDS = 3


class BuildListener(Protocol):
    """Is told how a build goes on; the command line draws progress bars from it."""

    def begin_stage(self, name: str, *, total: int, done: int) -> None:
        """A stage starts, ``done`` of its ``total`` steps being done already."""

    def advance(self, record: ItemRecord | None) -> None:
        """One step is done; ``record`` says what became of a photograph."""


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
    """

    out: Path
    manifest: Path
    found: int
    ranked: int
    kept: int
    threshold: float
    rejected: dict[str, int]


class NothingBuiltError(InputError):
    """Every photograph was rejected; there is no dataset."""


def plan_build(config: BuildConfig) -> tuple[list[SourceItem], dict[str, str]]:
    """Check everything that can be checked before work begins.

    Args:
        config: The settings.
    Returns:
        The items of the source, and the settings that decide pixels and scores (for the journal and the file).
    Raises:
        InputError: If the source cannot be used.
        ConfigError: If ``out`` exists and may not be replaced, or its folder is missing.
        WeightsError: If weights of the chosen nets are missing.
    """
    if config.out.exists() and not config.overwrite:
        raise ConfigError(f"{config.out}: exists already; pass --overwrite to replace it, or another --out")
    if config.out.is_dir():
        raise ConfigError(f"{config.out}: is a folder; --out names the file to make")
    if not config.out.parent.is_dir():
        raise ConfigError(f"{config.out.parent}: no such folder; make it first, --out goes into it")
    landmark_file = config.landmarks or find_landmark_file(config.input)
    items = list_celeba(config.input, landmark_file)
    settings = {
        "pipeline_version": PIPELINE_VERSION,
        "source": str(find_image_folder(config.input).resolve()),
        "landmarks_sha256": hash_file(landmark_file),
        "size": str(config.size),
        "resample": config.resample,
        "dejpeg": _describe_restorer("dejpeg", config.dejpeg, config.device),
        "sr": _describe_restorer("sr", config.sr, config.device),
    }
    return items, settings


def _describe_restorer(kind: Kind, name: str, device: str) -> str:
    """Return a restorer's name with the checksum and licence of its weights; loading it proves that it works."""
    licence = load_restorer(kind, name, device=device).licence
    if name in list_weights():
        return f"{name} (sha256 {list_weights()[name].sha256[:16]}, {licence})"
    if Path(name).is_file():
        return f"{Path(name).name} (sha256 {hash_file(Path(name))[:16]}, {licence})"
    return name


def estimate_disk(config: BuildConfig, found: int) -> int:
    """Return the bytes that the work folder and the dataset will need together, at most."""
    faces = min(config.keep, found)
    return int(faces * (1 + WAITING_FACTOR) * _BYTES_PER_PIXEL * config.size**2)


def run_build(config: BuildConfig, listener: BuildListener) -> BuildSummary:
    """Build the dataset, going on where an earlier run of the same build stopped.

    Args:
        config: The settings.
        listener: Is told of every step.
    Returns:
        What was made.
    Raises:
        NothingBuiltError: If no photograph gave a face; the manifest with the reasons is written all the same.
        OSError: If the disk is full or a folder cannot be written; run the same build again to go on.
        CelebahqError: As :func:`plan_build`.
    """
    items, settings = plan_build(config)
    faces = config.work_folder / "faces"
    faces.mkdir(parents=True, exist_ok=True)
    with Journal(config.work_folder / "journal.sqlite") as journal:
        journal.bind_settings(settings)
        with _note_run(journal, config, found=len(items)):
            _forget_unusable(journal, faces)
            done = journal.done()
            pending = [item for item in items if item.index not in done]
            listener.begin_stage("faces", total=len(items), done=len(items) - len(pending))
            _make_faces(pending, config, journal, faces, listener)
            choice = _complete_choice(items, config, journal, faces, listener)
            summary = _write_results(config, journal, faces, settings, choice, found=len(items), listener=listener)
    if config.work is None:
        shutil.rmtree(config.work_folder)
    if not summary.kept:
        raise NothingBuiltError(f"none of {summary.found} photographs gave a face; reasons in {summary.manifest}")
    return summary


@contextmanager
def _note_run(journal: Journal, config: BuildConfig, *, found: int) -> Iterator[None]:
    """Note start, end and circumstances of a build in its journal; a killed one stays without an end."""
    details = {
        "found": found,
        "keep": config.keep,
        "out": str(config.out),
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
        with suppress(sqlite3.Error):
            journal.end_run(number, type(error).__name__)
        raise
    journal.end_run(number, "finished")


def _make_faces(
    pending: list[SourceItem], config: BuildConfig, journal: Journal, faces: Path, listener: BuildListener
) -> None:
    """Work on photographs and record what becomes of them, deleting the worst faces when too many wait."""
    for record in _process_all(pending, config, faces):
        journal.record(record)
        _delete_worst(journal, faces, keep=config.keep)
        listener.advance(record)


def _complete_choice(
    items: list[SourceItem], config: BuildConfig, journal: Journal, faces: Path, listener: BuildListener
) -> Choice:
    """Return the final choice, making again what it asks for and does not wait any more.

    This happens when more faces are to be kept than an earlier run kept, when a rule takes a face back that was out
    of reach before, or when a power loss took a face whose row survived. A face that can no longer be made becomes a
    rejection and leaves the choice, so that this ends.
    """
    while True:
        choice = choose_faces(journal, config.keep)
        missing = set(choice.kept.tolist()) - journal.stored()
        if not missing:
            return choice
        listener.begin_stage("faces again", total=len(missing), done=0)
        _make_faces([item for item in items if item.index in missing], config, journal, faces, listener)


def _process_all(pending: list[SourceItem], config: BuildConfig, faces: Path) -> Iterator[ItemRecord]:
    """Yield a record per item in order of completion, going on when the system kills a worker."""
    for shard in sorted({face_path(faces, item.index).parent for item in pending}):
        shard.mkdir(exist_ok=True)
    workers = min(config.worker_count, max(1, len(pending)))
    if workers == 1:
        yield from (process_item(item, config, faces) for item in pending)
        return
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    left = {item.index: item for item in pending}
    fruitless = 0
    while left:
        before = len(left)
        try:
            for record in _process_in_parallel(list(left.values()), config, faces, workers):
                del left[record.index]
                yield record
        except TerminatedWorkerError:
            fruitless = fruitless + 1 if len(left) == before else 0
            if fruitless == _FRUITLESS_ROUNDS:
                raise CelebahqError(
                    f"the system killed workers {fruitless} times before one finished a photograph, most likely for "
                    "lack of memory; "
                    f"run the same command again with fewer --workers than {workers}, finished work is kept"
                ) from None


def _process_in_parallel(
    items: list[SourceItem], config: BuildConfig, faces: Path, workers: int
) -> Iterator[ItemRecord]:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor

    threads = max(1, config.worker_count // workers)
    tasks = (delayed(_process_in_worker)(item, config, faces, threads) for item in items)
    try:
        with parallel_config(backend="loky", inner_max_num_threads=threads):
            parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch=2 * workers)
            yield from cast(Iterator[ItemRecord], parallel(tasks))
    finally:
        # Also after Ctrl-C: nobody waits for photographs that are under way.
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _process_in_worker(item: SourceItem, config: BuildConfig, faces: Path, threads: int) -> ItemRecord:
    begin_worker(threads)
    return process_item(item, config, faces)


def _forget_unusable(journal: Journal, faces: Path) -> None:
    """Bring the journal in line with the work folder: a power loss may have taken a face whose row survived.

    Internal errors deserve another try.
    """
    journal.mark_deleted(index for index in journal.stored() if not face_path(faces, index).is_file())
    journal.forget(journal.rejected("internal"))


def _delete_worst(journal: Journal, faces: Path, *, keep: int) -> None:
    if journal.count_stored() <= int(WAITING_FACTOR * keep):
        return
    worst = journal.stored() - set(choose_faces(journal, keep).kept.tolist())
    # First the rows: a face without a row is only untidy, a row without its face would be missed at the end.
    journal.mark_deleted(worst)
    for index in worst:
        face_path(faces, index).unlink(missing_ok=True)


def _write_results(
    config: BuildConfig,
    journal: Journal,
    faces: Path,
    settings: dict[str, str],
    choice: Choice,
    *,
    found: int,
    listener: BuildListener,
) -> BuildSummary:
    kept = choice.kept.tolist()
    positions = {index: position for position, index in enumerate(kept)}
    manifest = manifest_path(config.out)
    attributes = {"celebahq_tools_version": __version__, "keep": config.keep, **settings}
    del attributes["source"]  # a path of one machine; the manifest's sha256 column identifies the photographs

    def finish_manifest() -> None:
        write_manifest(
            manifest,
            journal.records(),
            dataset_index=positions,
            components=COMPONENT_NAMES,
            left_out=choice.reasons,
        )

    if kept:
        listener.begin_stage("dataset", total=len(kept), done=0)
        with create_dataset(config.out, height=config.size, width=config.size, attributes=attributes) as writer:
            for index in kept:
                writer.append_encoded(load_encoded(face_path(faces, index)))
                listener.advance(None)
            finish_manifest()
    else:
        finish_manifest()
    rejected = journal.count_reasons()
    ranked = found - sum(rejected.values())
    return BuildSummary(config.out, manifest, found, ranked, len(kept), choice.threshold, rejected)
