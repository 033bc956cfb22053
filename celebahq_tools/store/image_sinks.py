"""Where generated images go: a folder or .zip in StyleGAN's layout, a multi-resolution HDF5 file, or one PNG grid."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.atomic import sync_to_disk, write_atomically
from celebahq_tools.errors import InputError
from celebahq_tools.pictures.canvas import save_picture
from celebahq_tools.store.encoding import encode_face
from celebahq_tools.store.export.base import encode_png, name_image
from celebahq_tools.store.export.stylegan_zip import make_entry
from celebahq_tools.store.labels import (
    discard_labels,
    encode_one_hot,
    format_dataset_json,
    labels_path,
    save_labels,
)
from celebahq_tools.store.layout import HDF5_SUFFIXES
from celebahq_tools.store.writer import DatasetWriter, create_dataset

# A grid beyond this many pixels is refused: few programs open it, and it has to be in memory.
_MOST_GRID_PIXELS = 1 << 28
_WORKERS = min(8, os.cpu_count() or 1)
# zlib's: higher ones take several times as long for a few percent.
_PNG_LEVEL = 1


class ImageSink(ABC):
    """Takes images in their order; made by :func:`open_sink`."""

    @abstractmethod
    def append(self, images: NDArray[np.uint8], classes: NDArray[np.int64] | None = None) -> None:
        """Add images.

        Args:
            images: (N, C, H, W) uint8.
            classes: (N,) labels, in every call or in none.
        Raises:
            OSError: If the disk is full.
        """


@contextmanager
def open_sink(
    path: Path,
    *,
    count: int,
    shape: tuple[int, int, int],
    columns: int = 8,
    labels: int = 0,
    attributes: Mapping[str, Any] | None = None,
) -> Iterator[ImageSink]:
    """Yield a sink; ``path`` appears when the block ends without an error.

    Args:
        path: ``*.zip``, ``*.h5``, ``*.png`` (a grid), or else a folder, which must not hold anything yet.
        count: Images that will be added.
        shape: (channels, height, width) of an image.
        columns: Images in a row of a grid.
        labels: Number of classes; 0 for images without.
        attributes: Kept on the root of an HDF5 file.
    Raises:
        InputError: If a folder holds something already, the grid would be too large, or the parent does not exist.
        OSError: If nothing can be written there.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it or write elsewhere")
    suffix = path.suffix.lower()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(_WORKERS))
        sink: ImageSink
        if suffix == ".zip":
            sink = stack.enter_context(_open_zip(path, pool, labels))
        elif suffix in HDF5_SUFFIXES:
            sink = stack.enter_context(_open_hdf5(path, pool, shape, labels, attributes))
        elif suffix == ".png":
            sink = stack.enter_context(_open_grid(path, count, shape, columns))
        else:
            sink = stack.enter_context(_open_folder(path, pool, labels))
        yield sink


class _PngSink(ImageSink):
    """Numbered PNG files and their labels: ``00000/img00000000.png``, a thousand a folder, and ``dataset.json``."""

    def __init__(self, pool: ThreadPoolExecutor, labels: int) -> None:
        self._pool = pool
        self._labels = labels
        self._names: list[str] = []
        self._classes: list[int] = []

    def append(self, images: NDArray[np.uint8], classes: NDArray[np.int64] | None = None) -> None:
        """Add images; see :meth:`ImageSink.append`."""
        first = len(self._names)
        names = [name_image(number) for number in range(first, first + len(images))]
        self._names += names
        self._classes += [] if classes is None else [int(label) for label in classes]
        self._write(names, images)

    @abstractmethod
    def _write(self, names: Sequence[str], images: NDArray[np.uint8]) -> None: ...

    def describe(self) -> str:
        """Return the text of ``dataset.json``."""
        return format_dataset_json(
            self._names,
            encode_one_hot(self._classes, self._labels) if self._labels else None,
        )


class _ZipSink(_PngSink):
    def __init__(self, archive: zipfile.ZipFile, pool: ThreadPoolExecutor, labels: int) -> None:
        super().__init__(pool, labels)
        self._archive = archive

    def _write(self, names: Sequence[str], images: NDArray[np.uint8]) -> None:
        for name, data in zip(names, self._pool.map(_encode, images), strict=True):
            self._archive.writestr(make_entry(name), data)


class _FolderSink(_PngSink):
    def __init__(self, folder: Path, pool: ThreadPoolExecutor, labels: int) -> None:
        super().__init__(pool, labels)
        self._folder = folder

    def _write(self, names: Sequence[str], images: NDArray[np.uint8]) -> None:
        for part in {name.partition("/")[0] for name in names}:
            (self._folder / part).mkdir(exist_ok=True)
        list(self._pool.map(self._write_one, names, images))

    def _write_one(self, name: str, image: NDArray[np.uint8]) -> None:
        (self._folder / name).write_bytes(_encode(image))


class _DatasetSink(ImageSink):
    def __init__(self, writer: DatasetWriter, pool: ThreadPoolExecutor) -> None:
        self._writer, self._pool = writer, pool
        self.classes: list[NDArray[np.int64]] = []

    def append(self, images: NDArray[np.uint8], classes: NDArray[np.int64] | None = None) -> None:
        """Add images; see :meth:`ImageSink.append`."""
        for face in self._pool.map(encode_face, images.transpose(0, 2, 3, 1)):
            self._writer.append_encoded(face)
        if classes is not None:
            self.classes.append(classes)


class _GridSink(ImageSink):
    def __init__(self, canvas: NDArray[np.uint8], columns: int) -> None:
        self._canvas, self._columns = canvas, columns
        self._count = 0

    def append(self, images: NDArray[np.uint8], classes: NDArray[np.int64] | None = None) -> None:  # noqa: ARG002
        """Add images; see :meth:`ImageSink.append`."""
        height, width = images.shape[2:]
        for image in images:
            row, column = divmod(self._count, self._columns)
            cell = self._canvas[row * height : (row + 1) * height, column * width : (column + 1) * width]
            cell[:] = image.transpose(1, 2, 0)
            self._count += 1


def _encode(image: NDArray[np.uint8]) -> bytes:
    return encode_png(image, _PNG_LEVEL)


@contextmanager
def _open_zip(path: Path, pool: ThreadPoolExecutor, labels: int) -> Iterator[ImageSink]:
    with (
        write_atomically(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        sink = _ZipSink(archive, pool, labels)
        yield sink
        archive.writestr(make_entry("dataset.json"), sink.describe())


@contextmanager
def _open_folder(path: Path, pool: ThreadPoolExecutor, labels: int) -> Iterator[ImageSink]:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: exists already and holds something; name a new folder, a .zip, .h5 or .png file")
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        sink = _FolderSink(temporary, pool, labels)
        yield sink
        (temporary / "dataset.json").write_text(sink.describe(), encoding="utf-8")
        temporary.chmod(0o755)
        temporary.replace(path)  # An empty folder is replaced.
        sync_to_disk(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _open_hdf5(
    path: Path,
    pool: ThreadPoolExecutor,
    shape: tuple[int, int, int],
    labels: int,
    attributes: Mapping[str, Any] | None,
) -> Iterator[ImageSink]:
    channels, height, width = shape
    with create_dataset(path, height=height, width=width, channels=channels, attributes=attributes) as writer:
        sink = _DatasetSink(writer, pool)
        yield sink
        if labels:
            save_labels(labels_path(path), encode_one_hot(np.concatenate(sink.classes), labels))
        else:
            discard_labels(path)


@contextmanager
def _open_grid(path: Path, count: int, shape: tuple[int, int, int], columns: int) -> Iterator[ImageSink]:
    channels, height, width = shape
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    if rows * columns * height * width > _MOST_GRID_PIXELS:
        raise InputError(
            f"{path}: a grid of {columns}x{rows} images of {width}x{height} is too large; "
            f"lower --num to {max(1, _MOST_GRID_PIXELS // (height * width))}, or write a folder, .zip or .h5"
        )
    canvas = np.zeros((rows * height, columns * width, channels), dtype=np.uint8)
    yield _GridSink(canvas, columns)
    save_picture(canvas, path)
