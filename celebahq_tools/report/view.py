"""One way to look at a dataset: a finished file with its manifest, a work folder with its journal, or both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, StoreError
from celebahq_tools.report.manifest_records import read_manifest_records
from celebahq_tools.report.table import FaceTable, collect_faces
from celebahq_tools.selection import choose_faces
from celebahq_tools.store.encoding import load_level
from celebahq_tools.store.journal import Journal, Run
from celebahq_tools.store.manifest import manifest_path
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.store.waiting import face_path
from celebahq_tools.types import ItemRecord, Pixels

JOURNAL = "journal.sqlite"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What is known of a dataset at one moment.

    Attributes:
        faces: The scored faces.
        rejections: Photographs that gave no face.
        found: Photographs and landmark rows of the source; more than the rows so far while a build runs.
        at_hand: Which faces can be shown, shape (N,): those in the dataset, and those that wait in the work folder.
        threshold: Lowest score in the dataset.
        left_out: Source index to (reason, detail) of scored faces left out for more than their score.
        size: Side of the faces in pixels.
        settings: What decided pixels and scores, and the versions.
        runs: Every start of the build; empty if unknown.
        stage_seconds: By stage, the photographs that went through it and their seconds together; empty if unknown.
    """

    faces: FaceTable
    at_hand: NDArray[np.bool_]
    rejections: list[ItemRecord]
    found: int
    threshold: float
    left_out: dict[int, tuple[str, str]]
    size: int
    settings: dict[str, str]
    runs: list[Run] = field(default_factory=list)
    stage_seconds: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def positions(self) -> dict[int, int]:
        """Source index to position in the dataset, of the kept faces."""
        kept = self.faces.kept
        return dict(zip(self.faces.index[kept].tolist(), self.faces.position[kept].tolist(), strict=True))


class DatasetView(Protocol):
    """What reports and live pages ask of a dataset.

    Attributes:
        title: Name for people.
    """

    title: str

    def take_snapshot(self) -> Snapshot:
        """Return what is known now."""
        ...

    def find_records(self, indices: Collection[int]) -> dict[int, ItemRecord]:
        """Return full records of some source indices."""
        ...

    def read_face(self, index: int, position: int, *, side: int) -> Pixels | None:
        """Return a face at the smallest level of at least ``side`` pixels, or the largest; None if it is gone."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class FileView:
    """A finished dataset and its manifest.

    Args:
        path: HDF5 file.
    Raises:
        StoreError: If the file or its manifest is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.title = path.name
        self._manifest = manifest_path(path)
        if not self._manifest.is_file():
            raise StoreError(f"{self._manifest}: no manifest; a report is made from the dataset and its manifest")
        self._reader = DatasetReader(path)
        channels, height, width = self._reader.shapes[0]
        if channels != 3 or height != width:
            self._reader.close()
            raise StoreError(f"{path}: holds {channels} channels of {height}x{width}; a report shows square RGB faces")
        self._sides = sorted(shape[1] for shape in self._reader.shapes)

    def take_snapshot(self) -> Snapshot:
        """Return what the manifest and the file's attributes say."""
        positions: dict[int, int] = {}
        left_out: dict[int, tuple[str, str]] = {}
        rejections: list[ItemRecord] = []
        found = 0

        def pass_scored() -> Iterator[ItemRecord]:
            nonlocal found
            for row in read_manifest_records(self._manifest):
                found += 1
                index = row.record.index
                if row.position is not None:
                    positions[index] = row.position
                elif row.record.score is not None and row.left_out[0] != "rank.below_threshold":
                    left_out[index] = row.left_out
                if row.record.score is None and row.record.reason:
                    rejections.append(row.record)
                else:
                    yield row.record

        faces = collect_faces(pass_scored(), positions)
        if sorted(positions.values()) != list(range(len(self._reader))):
            raise StoreError(
                f"{self._manifest}: names {len(positions)} kept faces, but {self.path.name} holds {len(self._reader)}; "
                "the two files are not of the same build"
            )
        kept = faces.score[faces.kept]
        threshold = float(np.nanmin(kept)) if np.isfinite(kept).any() else float("nan")
        settings = {name: _show_attribute(value) for name, value in self._reader.attributes.items()}
        return Snapshot(faces, faces.kept, rejections, found, threshold, left_out, self._sides[-1], settings)

    def find_records(self, indices: Collection[int]) -> dict[int, ItemRecord]:
        """Return full records, read from the manifest again."""
        wanted = set(indices)
        rows = read_manifest_records(self._manifest)
        return {row.record.index: row.record for row in rows if row.record.index in wanted}

    def read_face(self, index: int, position: int, *, side: int) -> Pixels | None:  # noqa: ARG002
        """Return a face of the dataset."""
        if position < 0:
            return None
        level = next((one for one in self._sides if one >= side), self._sides[-1])
        return np.ascontiguousarray(self._reader.read(position, height=level).transpose(1, 2, 0))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class WorkView:
    """A work folder, also while a build writes to it.

    Args:
        path: The folder.
        dataset: The finished file of the same build, whose faces are then read from it.
    Raises:
        InputError: If the folder holds no journal.
    """

    def __init__(self, path: Path, *, dataset: Path | None = None) -> None:
        self.path = path
        self.title = (dataset or path).name
        self.faces = path / "faces"
        self._open_journal().close()
        self._known = _KnownRecords()
        self._file = FileView(dataset) if dataset else None

    def _open_journal(self) -> Journal:
        return Journal.open_readonly(self.path / JOURNAL)

    def take_snapshot(self) -> Snapshot:
        """Return what the journal says, and what would be kept if the build ended now."""
        with self._open_journal() as journal:
            runs = journal.runs()
            details = runs[-1].details if runs else {}
            settings = journal.settings()
            finished = self._file.take_snapshot() if self._file is not None else None
            if finished is not None:  # its manifest knows what was chosen, and of which photographs
                positions = finished.positions
                threshold, left_out = finished.threshold, finished.left_out
                among = set(finished.faces.index.tolist()) | {record.index for record in finished.rejections}
                records: Iterable[ItemRecord] = journal.records()  # looked at once: nothing is to be kept
            else:
                choice = choose_faces(journal, int(details.get("keep", 30_000)))
                positions = {index: position for position, index in enumerate(choice.kept.tolist())}
                threshold, left_out, among = choice.threshold, dict(choice.reasons), None
                records = self._known.update(journal)
            rejections: list[ItemRecord] = []

            def pass_scored() -> Iterator[ItemRecord]:
                for record in records:
                    if among is not None and record.index not in among:
                        continue
                    if record.reason:
                        rejections.append(record)
                    else:
                        yield record

            faces = collect_faces(pass_scored(), positions)
            rows = len(faces) + len(rejections)
            at_hand = np.isin(faces.index, np.fromiter(journal.stored(), np.int64))
            return Snapshot(
                faces,
                at_hand | faces.kept if self._file is not None else at_hand,
                rejections,
                rows if finished is not None else max(rows, int(details.get("found", rows))),
                threshold,
                left_out,
                int(settings.get("size", 1024)),
                {**{name: str(value) for name, value in details.get("versions", {}).items()}, **settings},
                runs,
                journal.total_seconds(),
            )

    def find_records(self, indices: Collection[int]) -> dict[int, ItemRecord]:
        """Return full records of the journal."""
        with self._open_journal() as journal:
            return {record.index: record for record in journal.find_records(indices)}

    def read_face(self, index: int, position: int, *, side: int) -> Pixels | None:
        """Return a face of the dataset, or one that waits."""
        if self._file is not None and position >= 0:
            return self._file.read_face(index, position, side=side)
        try:
            return load_level(face_path(self.faces, index), side)
        except StoreError:
            return None  # the build deleted it meanwhile

    def close(self) -> None:
        """Close the dataset."""
        if self._file is not None:
            self._file.close()


class _KnownRecords:
    """The journal's rows as they were read last: a build adds a few at a time to what may be 200,000."""

    def __init__(self) -> None:
        self._records: dict[int, ItemRecord] = {}
        self._since = 0.0

    def update(self, journal: Journal) -> list[ItemRecord]:
        """Return all rows in index order, reading only those that are new."""
        newest = self._since
        for finished, record in journal.records_since(self._since):
            self._records[record.index] = record
            newest = max(newest, finished)
        if len(self._records) != journal.count_done():  # a new start of the build forgot some
            self._records = {record.index: record for record in journal.records()}
        self._since = newest
        return [self._records[index] for index in sorted(self._records)]


def open_view(path: Path) -> DatasetView:
    """Return a view of a dataset file or of a work folder.

    Raises:
        InputError: If it is neither.
        StoreError: If it is damaged.
    """
    if path.is_dir():
        if not (path / JOURNAL).is_file():
            raise InputError(f"{path}: no {JOURNAL} in it; give a dataset file, or the --work folder of a build")
        return WorkView(path)
    return FileView(path)


def _show_attribute(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
