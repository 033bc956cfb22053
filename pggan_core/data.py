"""Real images of one resolution level at a time, from an HDF5 dataset, a folder of images, or a StyleGAN zip."""

from __future__ import annotations

import io
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from celebahq_tools.errors import InputError
from celebahq_tools.store.labels import parse_dataset_json
from celebahq_tools.store.layout import compute_mips
from celebahq_tools.store.reader import DatasetReader

_TABLE = "dataset.json"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class LevelSource(Protocol):
    """Images at every power-of-two level."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the full resolution."""

    @property
    def labels(self) -> NDArray[np.float32] | None:
        """(N, classes), one-hot for classes, or None."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int], height: int) -> NDArray[np.uint8]:
        """Return (N, C, h, w) of the level with that height."""


def open_source(path: Path) -> LevelSource:
    """Return the images at ``path``.

    Args:
        path: HDF5 file in the original's layout, folder of equally sized images, or StyleGAN zip. Labels of a folder or
            zip are those of ``dataset.json`` in it, if it is there: class numbers, or vectors as they are.
    Raises:
        InputError: If there is nothing usable, or ``dataset.json`` is damaged or leaves images out.
        StoreError: If an HDF5 file is damaged.
    """
    if path.is_dir():
        return _FolderSource(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; --data takes an HDF5 dataset, a folder of images or a zip")
    if zipfile.is_zipfile(path):
        return _ZipSource(path)
    return _Hdf5Source(path)


class _Hdf5Source:
    def __init__(self, path: Path) -> None:
        self._reader = DatasetReader(path)
        self._heights = {height for _, height, _ in self._reader.shapes}

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._reader.shapes[0]

    @property
    def labels(self) -> NDArray[np.float32] | None:
        return self._reader.labels

    def __len__(self) -> int:
        return len(self._reader)

    def read(self, indices: Sequence[int], height: int) -> NDArray[np.uint8]:
        if height in self._heights:
            return self._reader.read(indices, height=height)
        # A file need not hold every level: average down from the next larger one.
        above = min(h for h in self._heights if h > height)
        return _select_level(self._reader.read(indices, height=above), height)


class _EncodedSource(ABC):
    """Encoded image files of equal size, decoded on every read."""

    labels: NDArray[np.float32] | None = None

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        self._names = names
        if not names:
            raise InputError(f"{path}: holds no images ({', '.join(IMAGE_SUFFIXES)})")
        self.shape = _order_channels(self._decode(0)).shape

    def _take_labels(self, table: bytes) -> None:
        where, otherwise = f"{self.path}: {_TABLE}", "remove it, and train without labels"
        self.labels = parse_dataset_json(table, self._names, where, otherwise=otherwise)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, indices: Sequence[int], height: int) -> NDArray[np.uint8]:
        images = []
        for index in indices:
            pixels = self._decode(index)
            if _order_channels(pixels).shape != self.shape:
                channels, rows, columns = self.shape
                raise InputError(
                    f"{self.path}: {self._names[index]} is {pixels.shape[1]}x{pixels.shape[0]} with "
                    f"{pixels.shape[2]} channels, the first image {columns}x{rows} with {channels}; all must be alike"
                )
            images.append(next(mip for mip in compute_mips(pixels) if mip.shape[1] == height))
        return np.stack(images)

    @abstractmethod
    def _open(self, name: str) -> bytes:
        """Return the bytes of an image's file."""

    def _decode(self, index: int) -> NDArray[np.uint8]:
        name = self._names[index]
        try:
            with Image.open(io.BytesIO(self._open(name))) as image:
                grey = image.mode in ("1", "L", "I;16")
                pixels = np.asarray(image.convert("L" if grey else "RGB"))
        except (OSError, UnidentifiedImageError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path}: cannot decode {name} ({error}); remove or replace it") from None
        return pixels[..., None] if grey else pixels


class _FolderSource(_EncodedSource):
    def __init__(self, path: Path) -> None:
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        super().__init__(path, [p.relative_to(path).as_posix() for p in found])
        if (path / _TABLE).is_file():
            self._take_labels((path / _TABLE).read_bytes())

    def _open(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


class _ZipSource(_EncodedSource):
    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if n.lower().endswith(IMAGE_SUFFIXES))
            table = archive.read(_TABLE) if _TABLE in archive.namelist() else b"{}"
        super().__init__(path, names)
        self._take_labels(table)

    def _open(self, name: str) -> bytes:
        # Opened per read: an archive object must not be shared between processes or threads.
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(name)


def _order_channels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels.transpose(2, 0, 1)


def _select_level(images: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    return np.stack(
        [next(m for m in compute_mips(image.transpose(1, 2, 0)) if m.shape[1] == height) for image in images]
    )
