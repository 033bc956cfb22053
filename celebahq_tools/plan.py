"""What a build is going to do: checked and worked out before the first photograph is opened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.build_config import GUARDS, PIPELINE_VERSION, BuildConfig
from celebahq_tools.errors import ConfigError, InputError
from celebahq_tools.net_devices import choose_devices
from celebahq_tools.report import report_path
from celebahq_tools.restore import Kind, load_restorer
from celebahq_tools.selection import Choice, choose_faces, choose_listed
from celebahq_tools.source.celeba import find_landmark_file, list_celeba
from celebahq_tools.source.detector import WEIGHTS as DETECTOR_WEIGHTS
from celebahq_tools.source.folder import choose_photo_folder, list_photos, list_photos_with_landmarks
from celebahq_tools.source.item_table import ItemTable
from celebahq_tools.source.selection_file import SelectionRow, read_selection_file
from celebahq_tools.store.compression import choose_filters
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.labels import labels_path
from celebahq_tools.store.layout import HDF5_SUFFIXES
from celebahq_tools.store.manifest import manifest_path, rejected_path
from celebahq_tools.store.streams import STREAM_FORMAT
from celebahq_tools.weights import find_weights, hash_file, list_weights

# Faces waiting in the work folder may exceed the number to keep by this much before the worst are deleted.
WAITING_FACTOR = 1.1
# The dataset is written in parts of this share of its faces, whose waiting files are deleted after each.
_PART_SHARE = 0.05
_LEAST_PART = 8
# A face of 1024x1024 with all its levels, compressed: measured on real photographs.
_BYTES_PER_PIXEL = 2.4
_NAMES_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Plan:
    """What a build is going to do.

    Attributes:
        config: The settings.
        items: The photographs to work on, in the order of the source.
        settings: What decides pixels and scores; bound to the work folder.
        order: Source indices in the order of ``--select``; None when the best are chosen.
    """

    config: BuildConfig
    items: ItemTable
    settings: dict[str, str]
    order: NDArray[np.int64] | None = None

    def choose(self, journal: Journal) -> Choice:
        """Return which faces go into the dataset, as far as the journal knows."""
        if self.order is not None:
            return choose_listed(journal, self.order)
        return choose_faces(journal, self.config.keep, among=self.items.indices, duplicates=self.config.duplicates)

    def add_other_faces(self, journal: Journal) -> Plan:
        """Return the plan with the second, third ... faces of all photographs, as far as they are wanted."""
        if self.config.faces == "largest":
            return self
        return replace(self, items=self.items.add_faces(journal.faces_found()))

    @property
    def most_kept(self) -> int:
        """Faces that the dataset can have at most."""
        return min(self.config.keep, len(self.items)) if self.order is None else len(self.order)

    @property
    def most_waiting(self) -> int:
        """Faces that may wait in the work folder before the worst are deleted."""
        return int(WAITING_FACTOR * (self.config.keep if self.order is None else len(self.order)))

    @property
    def part_length(self) -> int:
        """Faces in one part of the dataset; the parts decide the order of the file's bytes."""
        return choose_part_length(self.most_kept)

    def estimate_disk(self) -> int:
        """Return the bytes that the work folder and the dataset will need together, at most.

        Faces that wait are deleted as they come into the dataset, unless the user named the work folder to keep it.
        """
        twice = self.most_kept if self.config.work is not None else min(self.part_length, self.most_kept)
        return int((WAITING_FACTOR * self.most_kept + twice) * _BYTES_PER_PIXEL * self.config.size**2)


def choose_part_length(faces: int) -> int:
    """Return how many faces to write before the file is closed and a checkpoint taken.

    Args:
        faces: How many there are at most, whatever happens to some of them.
    """
    return max(_LEAST_PART, int(_PART_SHARE * faces))


def plan_build(config: BuildConfig) -> Plan:
    """Check everything that can be checked before work begins.

    Args:
        config: The settings.
    Raises:
        InputError: If the source cannot be used, or lacks a photograph that ``select`` names.
        ConfigError: If ``out`` exists and may not be replaced, or its folder is missing.
        WeightsError: If weights of the chosen nets are missing.
    """
    if config.out.exists() and not config.overwrite:
        raise ConfigError(f"{config.out}: exists already; pass --overwrite to replace it, or another --out")
    if config.out.is_dir():
        raise ConfigError(f"{config.out}: is a folder; --out names the file to make")
    if not config.out.parent.is_dir():
        raise ConfigError(f"{config.out.parent}: no such folder; make it first, --out goes into it")
    _require_no_other_dataset(config.out)
    choose_filters(config.compression)  # a missing plug-in is named now, not after the work
    choose_devices(config)  # GPUs that are not there are named now, too
    items, landmarks = list_items(config)
    settings = {
        "pipeline_version": PIPELINE_VERSION,
        "source": str(choose_photo_folder(config.input).resolve()),
        "landmarks": landmarks,
        "guards": _describe_guards(config),
        "size": str(config.size),
        "alignment": config.alignment,
        "resample": config.resample,
        "dejpeg": _describe_restorer("dejpeg", config.dejpeg),
        "sr": _describe_restorer("sr", config.sr),
        "streams": STREAM_FORMAT,
    }
    if config.select is None:
        items = items[config.span][: config.limit or None]
        if not items:
            raise InputError(f"--only {config.only}: beyond the end of the source")
        return Plan(config, items, settings)
    rows = read_selection_file(config.select)[: config.limit or None]
    picked, order = _pick_items(items, rows, config.select)
    return Plan(config, picked, settings, order)


def list_items(config: BuildConfig) -> tuple[ItemTable, str]:
    """Return the photographs of a build, and where their landmarks come from.

    Raises:
        InputError: If the folder or the landmark file cannot be used.
        WeightsError: If the detector's nets are missing.
    """
    if config.detects:
        nets = " ".join(hash_file(find_weights(name))[:16] for name in DETECTOR_WEIGHTS)
        items = list_photos(config.input, all_faces=config.faces == "all", outputs=_list_outputs(config))
        return items, f"{config.faces} detected (sha256 {nets})"
    if config.landmarks is None:
        landmark_file = find_landmark_file(config.input)
        return list_celeba(config.input, landmark_file), f"file (sha256 {hash_file(landmark_file)})"
    landmark_file = Path(config.landmarks)
    if choose_photo_folder(config.input) != config.input:
        items = list_celeba(config.input, landmark_file)
    else:
        items = list_photos_with_landmarks(config.input, landmark_file, outputs=_list_outputs(config))
    return items, f"file (sha256 {hash_file(landmark_file)})"


def _list_outputs(config: BuildConfig) -> list[Path]:
    """Return what a build leaves: in a folder of photographs it must not be taken for one by the next run."""
    beside = [find(config.out) for find in (manifest_path, rejected_path, labels_path, report_path)]
    return [config.out, config.work_folder, *beside]


def _require_no_other_dataset(out: Path) -> None:
    """Make sure that the manifest is not that of a dataset of the same name but for its ending.

    Raises:
        ConfigError: If there is one.
    """
    others = [out.with_suffix(suffix) for suffix in HDF5_SUFFIXES if out.suffix.lower() != suffix]
    for other in others:
        if other.is_file() and manifest_path(out).is_file():
            raise ConfigError(
                f"{manifest_path(out)}: belongs to {other.name}, and would be replaced; pass another --out"
            )


def _describe_guards(config: BuildConfig) -> str:
    """Return the guards that decide pixels, scores or rejections, with their limits.

    Duplicates are left out by the choice of faces alone, which may change from run to run.
    """
    notes = {"border": f" {config.min_photo:g}"}
    if "detector" in config.active_guards:
        notes["detector"] = " " + " ".join(hash_file(find_weights(name))[:16] for name in DETECTOR_WEIGHTS)
    return ", ".join(
        f"{name}{notes.get(name, '')}" for name in GUARDS if name in config.active_guards and name != "duplicates"
    )


def _describe_restorer(kind: Kind, name: str) -> str:
    """Return a restorer's name with the checksum and licence of its weights; loading it proves that it works."""
    # On the CPU: the coordinator has no use for a GPU, and one of a cluster need have none.
    licence = load_restorer(kind, name, device="cpu").licence
    if name in list_weights():
        return f"{name} (sha256 {list_weights()[name].sha256[:16]}, {licence})"
    if Path(name).is_file():
        return f"{Path(name).name} (sha256 {hash_file(Path(name))[:16]}, {licence})"
    return name


def _pick_items(items: ItemTable, rows: list[SelectionRow], select: Path) -> tuple[ItemTable, NDArray[np.int64]]:
    """Return the items that a selection names, in source order, and their indices in the selection's order."""
    wanted = {row.file for row in rows}
    by_file = {item.file: item for item in items if item.file in wanted}
    missing = [
        row.file
        for row in rows
        if row.file not in by_file or getattr(by_file[row.file].problem, "reason", "") == "missing_file"
    ]
    if missing:
        more = f" and {len(missing) - _NAMES_SHOWN} more" if len(missing) > _NAMES_SHOWN else ""
        raise InputError(
            f"{select}: {len(missing)} of its {len(rows)} photographs are not there: "
            f"{', '.join(missing[:_NAMES_SHOWN])}{more}; complete the folder, or take their rows out"
        )
    order = np.array([by_file[row.file].index for row in rows], np.int64)
    return items.take(np.sort(order)), order
