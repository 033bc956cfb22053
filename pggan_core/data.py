"""Real images of one resolution level at a time, from an HDF5 dataset, a folder of images, or a StyleGAN zip."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.source.images import SUFFIXES, FileSource, FolderSource, ZipSource
from celebahq_tools.store.labels import parse_dataset_json
from celebahq_tools.store.layout import compute_mips
from celebahq_tools.store.reader import DatasetReader

_TABLE = "dataset.json"
_REMEDY = "move them away, or make a dataset of the others with `celebahq import`"
# Of unusable images, as many as a terminal shows at once.
_NAMED = 20


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
        """Return (N, C, h, w) of the level with that height.

        Raises:
            InputError: If an image cannot be decoded, or is unlike the first.
        """

    def find_unusable(self) -> Iterator[str]:
        """Yield the names of image files that show at their beginning that they cannot be read, each with its reason.

        What is damaged further on shows only when it is read. A dataset file has none; ``celebahq verify`` reads it.
        """


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
        return _open_folder(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; --data takes an HDF5 dataset, a folder of images or a zip")
    if zipfile.is_zipfile(path):
        return _open_zip(path)
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
        return np.stack([_average_down(image, height) for image in self._reader.read(indices, height=above)])

    def find_unusable(self) -> Iterator[str]:
        return iter(())


class _PictureLevels:
    """Image files of equal size, decoded on every read."""

    def __init__(self, images: FileSource, table: bytes | None) -> None:
        self.path = images.path
        self._images = images
        if not len(images):
            raise InputError(f"{self.path}: holds no images ({' '.join(sorted(SUFFIXES))})")
        self.shape = self._decode(0).shape
        self.labels: NDArray[np.float32] | None = None
        if table is not None:
            where, otherwise = f"{self.path}: {_TABLE}", "remove it, and train without labels"
            self.labels = parse_dataset_json(table, images.names, where, otherwise=otherwise)

    def __len__(self) -> int:
        return len(self._images)

    def read(self, indices: Sequence[int], height: int) -> NDArray[np.uint8]:
        images = []
        for index in indices:
            planes = self._decode(index)
            if planes.shape != self.shape:
                raise InputError(f"{self.path}: {self._images.name(index)} {self._compare(planes.shape)}; {_REMEDY}")
            images.append(_average_down(planes, height))
        return np.stack(images)

    def find_unusable(self) -> Iterator[str]:
        for index in range(len(self._images)):
            try:
                shape = self._images.read_shape(index)
            except RejectionError as error:
                yield f"{self._images.name(index)}: {error.cause}"
                continue
            if shape != self.shape:
                yield f"{self._images.name(index)} {self._compare(shape)}"

    def _compare(self, shape: tuple[int, ...]) -> str:
        mine, first = (f"{width}x{height} with {channels} channels" for channels, height, width in (shape, self.shape))
        return f"is {mine}, the first image {first}"

    def _decode(self, index: int) -> NDArray[np.uint8]:
        try:
            return self._images.load_planes(index)
        except RejectionError as error:
            raise InputError(f"{self.path}: cannot use {self._images.name(index)}: {error.cause}; {_REMEDY}") from None


def _open_folder(path: Path) -> _PictureLevels:
    table = path / _TABLE
    return _PictureLevels(FolderSource(path), table.read_bytes() if table.is_file() else None)


def _open_zip(path: Path) -> _PictureLevels:
    images = ZipSource(path)
    try:
        table = images.read_file(_TABLE)
    except KeyError:
        table = None
    except RejectionError as error:
        raise InputError(f"{path}: {_TABLE} in it cannot be read ({error.cause}); make the zip again") from None
    return _PictureLevels(images, table)


def check_images(source: LevelSource) -> None:
    """Look at the beginning of every image file before hours of training come upon one that cannot be used.

    Raises:
        InputError: If some cannot be used; all are counted and the first are named, each with its reason.
    """
    unusable = list(source.find_unusable())
    if unusable:
        named = "".join(f"\n  {text}" for text in unusable[:_NAMED])
        more = f"\n  and {len(unusable) - _NAMED} more" if len(unusable) > _NAMED else ""
        raise InputError(f"{len(unusable)} of {len(source)} images cannot be trained on; {_REMEDY}:{named}{more}")


def _average_down(planes: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Return the level of an image (C, H, W) that has this height."""
    return next(mip for mip in compute_mips(planes.transpose(1, 2, 0)) if mip.shape[1] == height)
