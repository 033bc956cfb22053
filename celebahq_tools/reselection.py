"""Choose again from the scored faces of a build, and write its dataset again."""

from __future__ import annotations

from pathlib import Path

from celebahq_tools.dataset_parts import Recipe, write_faces
from celebahq_tools.errors import ConfigError, StoreError
from celebahq_tools.pipeline import FACES, JOURNAL, BuildSummary
from celebahq_tools.plan import choose_part_length
from celebahq_tools.rank.quality import FACE_COMPONENTS
from celebahq_tools.selection import Duplicates, choose_faces
from celebahq_tools.store.compression import choose_filters
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.labels import discard_labels
from celebahq_tools.store.manifest import manifest_path, write_manifest
from celebahq_tools.store.streams import STREAM_FORMAT
from celebahq_tools.types import ProgressListener


def run_reselect(
    work: Path,
    *,
    keep: int,
    out: Path | None,
    duplicates: Duplicates,
    overwrite: bool,
    listener: ProgressListener,
    compression: str = "gzip",
) -> BuildSummary:
    """Write the dataset of another choice from the faces that wait in a work folder.

    Args:
        work: The ``--work`` folder of a build.
        keep: How many faces to keep.
        out: HDF5 file; that of the folder's last build when omitted.
        duplicates: As in :func:`celebahq_tools.selection.choose_faces`.
        overwrite: Whether an existing file may be replaced.
        listener: Is told of every face.
        compression: A name in :data:`celebahq_tools.store.compression.COMPRESSIONS`.
    Raises:
        ConfigError: If the file exists and may not be replaced, its folder is missing, or the compression's plug-in.
        StoreError: If the work folder has no usable journal, or lacks faces that are to be kept.
    """
    choose_filters(compression)  # a missing plug-in is named before any work
    with Journal.open_readonly(work / JOURNAL) as journal:
        settings = journal.settings()
        runs = journal.runs()
        if not settings or not runs:
            raise StoreError(f"{work}: no build was begun in it")
        if settings.get("streams", STREAM_FORMAT) != STREAM_FORMAT:
            raise StoreError(
                f"{work}: its faces wait as {settings['streams']}, datasets are made of {STREAM_FORMAT} now; "
                "run celebahq build again in another --work folder"
            )
        target = out or Path(runs[-1].details["out"])
        if target.exists() and not overwrite:
            raise ConfigError(f"{target}: exists already; pass --overwrite to replace it, or another --out")
        if not target.parent.is_dir():
            raise ConfigError(f"{target.parent}: no such folder; make it first, --out goes into it")
        choice = choose_faces(journal, keep, duplicates=duplicates)
        kept = choice.kept.tolist()
        if not kept:
            raise StoreError(f"{work}: no scored face in it")
        missing = len(set(kept) - journal.stored())
        if missing:
            raise StoreError(
                f"{work}: {missing} of the {len(kept)} faces to keep were deleted, the build kept fewer; "
                f"run celebahq build again with --keep {keep} and this --work, which makes them again"
            )
        manifest = manifest_path(target)
        attributes: dict[str, str | int] = {"keep": keep, "duplicates": duplicates}
        part_length = choose_part_length(min(keep, journal.count_done()))
        recipe = Recipe(int(settings["size"]), attributes | settings, compression, part_length)
        with write_faces(target, work / FACES, kept, recipe, listener):
            write_manifest(
                manifest,
                journal.records(),
                dataset_index={index: position for position, index in enumerate(kept)},
                components=FACE_COMPONENTS,
                left_out=choice.reasons,
            )
            discard_labels(target)
        rejected = journal.count_reasons()
        found = journal.count_done()
        return BuildSummary(
            target, manifest, found, found - sum(rejected.values()), len(kept), choice.threshold, rejected, work
        )
