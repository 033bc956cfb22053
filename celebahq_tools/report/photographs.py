"""The photographs behind a dataset: found again, checked by sha256, and sent through the pipeline once more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celebahq_tools.build_config import BuildConfig
from celebahq_tools.config import resolve_config
from celebahq_tools.errors import CelebahqError, InputError, RejectionError
from celebahq_tools.pictures.stages import StageView, cut_detail, draw_overview, place_in_quad
from celebahq_tools.process import Stages, load_stages, process_photo
from celebahq_tools.source.celeba import find_image_folder
from celebahq_tools.source.photo import decode_photo, read_photo_file
from celebahq_tools.types import ItemRecord, Pixels

TITLES = {
    "input": "Input",
    "crop": "Region",
    "dejpeg": "JPEG removed",
    "superres": "Enlarged",
    "padded": "Mirror padding",
    "blurred": "Blurred, crop",
    "final": "Final",
}


@dataclass(frozen=True)
class Step:
    """One step of a face, drawn.

    Attributes:
        title: What it shows, for people.
        width, height: Of the step's picture in pixels.
        overview: The picture with the outline of the face.
        detail: The same small place in every step.
    """

    title: str
    width: int
    height: int
    overview: Image.Image
    detail: Image.Image


class Photographs:
    """The folder of the photographs, and the settings they were built with.

    Args:
        folder: Holds the photographs under their names, or is the folder of CelebA's layout around it.
        settings: What decided the pixels, as the journal and the dataset's attributes say it.
        device: Where the nets run.
    Raises:
        InputError: If the folder does not exist.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], *, device: str = "auto") -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give the folder the dataset was built from")
        try:
            self.folder = find_image_folder(folder).resolve()
        except InputError:
            self.folder = folder.resolve()
        self._settings = dict(settings)
        self._device = device
        self._stages: Stages | None = None

    def read(self, file: str, sha256: str) -> bytes:
        """Return a photograph's bytes.

        Raises:
            InputError: If it is not there, lies outside the folder, or is another file than the one that was used.
        """
        try:
            data, _ = read_photo_file(self._locate(file))
        except (RejectionError, OSError):
            raise InputError("the photograph is not in the folder any more") from None
        if sha256 and hashlib.sha256(data).hexdigest() != sha256:
            raise InputError("the folder holds another photograph under this name (sha256 differs)")
        return data

    def measure(self, file: str) -> tuple[int, int] | None:
        """Return (width, height) of a photograph from its header, or None if it cannot be opened."""
        try:
            with Image.open(self._locate(file)) as image:
                return image.size
        except (CelebahqError, OSError, ValueError, Image.DecompressionBombError):
            return None

    def _locate(self, file: str) -> Path:
        # The name stands in a manifest that anyone may have written: it must not lead elsewhere. Links inside the
        # folder were put there by its owner.
        if "\x00" in file or Path(file).is_absolute() or ".." in Path(file).parts:
            raise InputError("the name leads out of the folder of photographs")
        return self.folder / file

    def read_small(self, record: ItemRecord, *, side: int) -> Image.Image | None:
        """Return a photograph reduced to fit a square, or None if it cannot be opened."""
        try:
            pixels = decode_photo(self.read(record.file, record.sha256))
        except (CelebahqError, OSError, ValueError):
            return None
        image = Image.fromarray(pixels)
        image.thumbnail((side, side))
        return image

    def draw_steps(self, record: ItemRecord, *, overview: int = 224, detail: int = 144) -> list[Step]:
        """Return every step of a face, as in the paper's Figure 8; steps it did not need are missing.

        The nets run again, which takes as long as building the face did.

        Args:
            record: Of the face.
            overview, detail: Sides of the pictures.
        Raises:
            InputError: If the photograph is not at hand, or no longer gives a face.
            CelebahqError: If the nets of the build cannot be loaded.
        """
        if record.landmarks is None:
            raise InputError("the manifest has no landmarks of this face")
        data = self.read(record.file, record.sha256)
        views: list[StageView] = []

        def observe(name: str, pixels: Pixels, quad: NDArray[np.float64]) -> None:
            if name == "dejpeg" and self._settings.get("dejpeg", "none") == "none":
                return  # nothing was removed
            views.append(StageView(name, pixels, quad))

        try:
            pixels = decode_photo(data)
            face, _ = process_photo(pixels, record.landmarks, self._load(), observe=observe)
        except RejectionError as rejection:
            raise InputError(f"the photograph is rejected now: {rejection}") from None
        views.insert(0, StageView("input", pixels, face.crop.corners))
        place = place_in_quad(views[0].quad, record.landmarks[0])
        return [
            Step(
                TITLES.get(view.name, view.name),
                view.pixels.shape[1],
                view.pixels.shape[0],
                draw_overview(view, side=overview, landmarks=record.landmarks if number == 0 else None),
                cut_detail(view, place, side=detail),
            )
            for number, view in enumerate(views)
        ]

    def _load(self) -> Stages:
        if self._stages is None:
            # Values that files hold as text; "realsr-df2k (sha256 ..., licence)" is the registry's name with more.
            same = {one.name for one in fields(BuildConfig)} & {"resample", "alignment"}
            flags: dict[str, object] = {name: value for name, value in self._settings.items() if name in same}
            flags["size"] = int(self._settings.get("size", 1024))
            for kind in ("dejpeg", "sr"):
                flags[kind] = self._settings.get(kind, "none").partition(" (sha256")[0]
            flags.update(input=self.folder, out=self.folder / "unused.h5", device=self._device)
            self._stages = load_stages(resolve_config(BuildConfig, flags=flags))
        return self._stages
