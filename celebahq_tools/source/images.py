"""Read sets of images to score: a folder, a .zip, an .npy or .npz array, or a level of a multi-resolution HDF5 file."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, RejectionError, ShapeError
from celebahq_tools.printable import make_printable
from celebahq_tools.source.decoding import decode_any, read_shape, spread_grey
from celebahq_tools.source.photo import MAX_BYTES
from celebahq_tools.source.zip_entries import ZIP_ERRORS, open_archive, read_entry
from celebahq_tools.store.layout import HDF5_SUFFIXES
from celebahq_tools.store.reader import DatasetReader

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
# More than a camera's metadata and thumbnail before the size of its JPEG.
_HEADER_BYTES = 2**17


class ImageSource(ABC):
    """A set of images in a fixed order, read one by one from any thread.

    Attributes:
        path: Where it lies.
    """

    path: Path

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, index: int) -> str:
        """Return how messages call an image."""

    @abstractmethod
    def load(self, index: int) -> NDArray[np.uint8]:
        """Return one image, (3, H, W) uint8 RGB; grey ones with three equal channels.

        Raises:
            RejectionError: If it cannot be used: unreadable, 16-bit, or truly transparent.
        """

    def close(self) -> None:  # noqa: B027 - a folder holds nothing open
        """Close the underlying file."""


class FileSource(ImageSource):
    """Image files, wherever their bytes lie.

    Attributes:
        names: Of all images, sorted, with forward slashes.
    """

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """Return how messages call an image, a name that is no unicode in a form that text can hold."""
        return make_printable(self.names[index])

    @abstractmethod
    def read_file(self, name: str, size: int = -1) -> bytes:
        """Return the first ``size`` bytes of a file, by default all.

        Raises:
            OSError, RejectionError: If it cannot be read.
        """

    def load(self, index: int) -> NDArray[np.uint8]:
        """Return one image; see :meth:`ImageSource.load`."""
        return spread_grey(self.load_planes(index))

    def load_planes(self, index: int) -> NDArray[np.uint8]:
        """Return one image as it is, (1, H, W) if grey, else (3, H, W).

        Raises:
            RejectionError: As for :meth:`ImageSource.load`.
        """
        return _decode_planes(self._read(index))

    def read_shape(self, index: int) -> tuple[int, int, int]:
        """Return what :meth:`load_planes` would give the shape of, by the beginning of the file where that suffices.

        Raises:
            RejectionError: If that much shows already that the image cannot be used.
        """
        try:
            height, width, channels = read_shape(self._read(index, _HEADER_BYTES))
        except RejectionError:
            # Behind long metadata the beginning may end before the image begins.
            height, width, channels = read_shape(self._read(index))
        return channels, height, width

    def _read(self, index: int, size: int = -1) -> bytes:
        try:
            return self.read_file(self.names[index], size)
        except OSError as error:
            raise RejectionError("decode", "unreadable", str(error)) from None


class FolderSource(FileSource):
    """All image files below a folder, by name."""

    def __init__(self, path: Path) -> None:
        names = sorted(
            file.relative_to(path).as_posix()
            for file in path.rglob("*")
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
        super().__init__(path, names)

    def read_file(self, name: str, size: int = -1) -> bytes:
        """Return the beginning of a file, or all; see :meth:`FileSource.read_file`."""
        with (self.path / name).open("rb") as file:
            return file.read(size)


class ZipSource(FileSource):
    """All image files in a .zip, by name; StyleGAN's datasets are such files."""

    def __init__(self, path: Path) -> None:
        self._zip = open_archive(path)
        self._lock = threading.Lock()
        entries = (name for name in self._zip.namelist() if not Path(name).name.startswith("."))
        super().__init__(path, sorted(name for name in entries if Path(name).suffix.lower() in SUFFIXES))

    def read_file(self, name: str, size: int = -1) -> bytes:
        """Return the beginning of an entry, or all; see :meth:`FileSource.read_file`."""
        with self._lock:
            return read_entry(self._zip, name, size, most=MAX_BYTES)

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


class ArraySource(ImageSource):
    """An .npy file, or the only array of an .npz or its ``images``: NCHW or NHWC uint8 with one or three channels."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            loaded = np.load(path, mmap_mode="r", allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                # arr_0 is what numpy calls an array without a name, the images of our own export among them.
                names = [name for name in loaded.files if name == "images"]
                names = names or [name for name in loaded.files if name == "arr_0"] or loaded.files
                if len(names) != 1:
                    raise InputError(
                        f"{path}: holds the arrays {', '.join(names)}; one is expected, or one named images"
                    )
                loaded = loaded[names[0]]
        except ZIP_ERRORS as error:
            raise InputError(f"{path}: not a readable numpy file ({error})") from None
        if not isinstance(loaded, np.ndarray):
            raise InputError(f"{path}: holds no array")
        if loaded.dtype != np.uint8:
            raise ShapeError(f"{path}: holds {loaded.dtype}; expected uint8 in 0..255: scale, round and clip it first")
        if loaded.ndim != 4 or not {1, 3} & {loaded.shape[1], loaded.shape[3]}:
            raise ShapeError(f"{path}: shape {loaded.shape} is neither (N, 3, H, W) nor (N, H, W, 3), nor one channel")
        channels_last = loaded.shape[3] in (1, 3) and loaded.shape[1] not in (1, 3)
        self._images = loaded.transpose(0, 3, 1, 2) if channels_last else loaded

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        """Return how messages call an image."""
        return f"image {index}"

    def load(self, index: int) -> NDArray[np.uint8]:
        """Return one image; see :meth:`ImageSource.load`."""
        return spread_grey(self._images[index])


class DatasetSource(ImageSource):
    """One level of a multi-resolution HDF5 file."""

    def __init__(self, path: Path, height: int | None) -> None:
        self.path = path
        self._reader = DatasetReader(path)
        self._height = height or self._reader.shapes[0][1]
        if self._height not in {shape[1] for shape in self._reader.shapes}:
            known = ", ".join(str(shape[1]) for shape in self._reader.shapes)
            self._reader.close()
            raise ShapeError(f"{path}: no level of size {self._height}; pass --size with one of {known}")

    def __len__(self) -> int:
        return len(self._reader)

    def name(self, index: int) -> str:
        """Return how messages call an image."""
        return f"image {index}"

    def load(self, index: int) -> NDArray[np.uint8]:
        """Return one image; see :meth:`ImageSource.load`."""
        return spread_grey(self._reader.read(index, height=self._height))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def open_images(path: Path, *, height: int | None = None) -> ImageSource:
    """Open a set of images.

    Args:
        path: A folder (searched recursively), .zip, .npy, .npz, or HDF5 file.
        height: Which level of an HDF5 file; the largest when omitted.
    Raises:
        InputError: If there is no such file, it is of another kind, or holds no images.
        ShapeError: If an array has another type or shape, or the level does not exist.
        StoreError: If an HDF5 file is damaged.
    """
    suffix = path.suffix.lower()
    source: ImageSource
    if path.is_dir():
        source = FolderSource(path)
    elif not path.exists():
        raise InputError(f"{path}: no such file or folder")
    elif suffix == ".zip":
        source = ZipSource(path)
    elif suffix in (".npy", ".npz"):
        source = ArraySource(path)
    elif suffix in HDF5_SUFFIXES:
        source = DatasetSource(path, height)
    else:
        raise InputError(f"{path}: not a set of images; give a folder, or a .zip, .npy, .npz, .h5 or .hdf5 file")
    if not len(source):
        source.close()
        raise InputError(f"{path}: found no images ({' '.join(sorted(SUFFIXES))})")
    return source


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of an encoded image, (3, H, W) uint8 RGB; grey images become three equal channels.

    Raises:
        RejectionError: If it cannot be used; see :func:`celebahq_tools.source.decoding.decode_any`.
    """
    return spread_grey(_decode_planes(data))


def _decode_planes(data: bytes) -> NDArray[np.uint8]:
    return np.ascontiguousarray(decode_any(data).transpose(2, 0, 1))


def load_image(path: Path) -> NDArray[np.uint8]:
    """Return one image file, (3, H, W) uint8 RGB.

    Raises:
        InputError: If it is missing or cannot be used.
    """
    try:
        return decode_image(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except RejectionError as error:
        raise InputError(f"{path}: {error.cause}") from None
