"""Arrays of images: the .npz that `celebahq export` and many programs write, or a plain .npy. Never unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.source.importers.base import ArraySource, ImportRequest
from celebahq_tools.source.zip_entries import ZIP_ERRORS
from celebahq_tools.store.labels import Labels, parse_label_values, read_label_array

_LABEL_NAMES = ("labels", "label", "y", "arr_1")


class NumpySource(ArraySource):
    """Images of one array, read one after the other, so that memory does not grow with the array.

    Args:
        path: ``.npy``, or ``.npz`` with one array of images and, if labels are wanted, one named labels or arr_1.
        use_labels: Whether labels are wanted.
    """

    def __init__(self, path: Path, *, use_labels: bool) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        try:
            if zipfile.is_zipfile(path):
                self._zip = zipfile.ZipFile(path)
                self._stream, self._shape, labels = self._open_members(self._zip, use_labels)
            else:
                stream = path.open("rb")
                self._stream, labels = stream, None
                _, self._shape = _read_header(stream)
                size = path.stat().st_size
                self._check_size(size - stream.tell())
        except ZIP_ERRORS as error:
            self.close()
            raise InputError(f"{path}: not a readable numpy file of uint8 images ({error})") from None
        except BaseException:
            self.close()
            raise
        self._start = self._stream.tell()
        self._next = 0
        count, *sides = self._shape
        # (N, H, W) is grey; otherwise the axis of one or three entries holds the channels.
        self._channels_last = len(sides) == 3 and sides[2] in (1, 3) and sides[0] not in (1, 3)
        if labels is not None and len(labels) != count:
            self.close()
            raise InputError(f"{path}: {len(labels)} labels for {count} images; pass --no-labels to do without")
        self.labels = labels

    def _open_members(
        self, archive: zipfile.ZipFile, use_labels: bool
    ) -> tuple[IO[bytes], tuple[int, ...], Labels | None]:
        found = []
        labels = None
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            with archive.open(entry) as stream:
                dtype, shape = _read_header(stream, images_only=False)
                rest = entry.file_size - stream.tell()
            if dtype == np.uint8 and len(shape) in (3, 4):
                found.append((entry, shape, rest))
            elif name in _LABEL_NAMES and use_labels:
                labels = _read_labels(archive, entry, f"{self.path}: {name}")
        if len(found) != 1:
            raise InputError(f"{self.path}: holds {len(found)} uint8 arrays of images; one is expected")
        entry, self._shape, rest = found[0]
        self._check_size(rest)
        stream = archive.open(entry)
        _read_header(stream)
        return stream, self._shape, labels

    def _check_size(self, found: int) -> None:
        wanted = int(np.prod(self._shape, dtype=object))
        four = len(self._shape) == 4 and bool({1, 3} & {self._shape[1], self._shape[3]})
        if 0 in self._shape:
            raise InputError(f"{self.path}: shape {self._shape} holds no pixels")
        if not (four or len(self._shape) == 3):
            raise InputError(f"{self.path}: shape {self._shape} is none of (N, C, H, W), (N, H, W, C) and (N, H, W)")
        if found != wanted:
            raise InputError(f"{self.path}: holds {found} bytes, its header {self._shape} asks for {wanted}")

    def __len__(self) -> int:
        return self._shape[0]

    def name(self, index: int) -> str:
        """Return the number of the image."""
        return f"image {index}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return one image, (C, H, W); see :meth:`ImportSource.read`."""
        sides = self._shape[1:]
        size = int(np.prod(sides))
        try:
            if index != self._next:
                self._stream.seek(self._start + index * size)
            data = self._stream.read(size)
        except ZIP_ERRORS as error:
            self._next = -1
            raise RejectionError("decode", "damaged", str(error)) from None
        self._next = index + 1
        if len(data) < size:
            raise RejectionError("decode", "truncated", f"{len(data)} of {size} bytes")
        image = np.frombuffer(data, np.uint8).reshape(sides if len(sides) == 3 else (1, *sides))
        return image.transpose(2, 0, 1) if self._channels_last else image

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_stream"):
            self._stream.close()
        if self._zip is not None:
            self._zip.close()


def _read_header(stream: IO[bytes], *, images_only: bool = True) -> tuple[np.dtype[Any], tuple[int, ...]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"format version {version}")
    if images_only and (dtype != np.uint8 or fortran):
        raise ValueError(f"holds {dtype}{' in Fortran order' if fortran else ''}; scale, round and clip it to uint8")
    return dtype, shape


def _read_labels(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> Labels:
    with archive.open(entry) as stream:
        values = read_label_array(cast(BinaryIO, stream), entry.file_size)
    if values.ndim == 1 and np.issubdtype(values.dtype, np.integer):
        return parse_label_values([int(value) for value in values], where)
    if values.ndim != 2:
        raise InputError(
            f"{where}: labels of shape {values.shape}; expected class numbers (N,) or vectors (N, classes)"
        )
    return parse_label_values(list(values), where)


def open_npz(request: ImportRequest) -> NumpySource:
    """Open an array of images.

    Raises:
        InputError: If it is no numpy file, or holds no array of uint8 images, or several.
    """
    return NumpySource(request.path, use_labels=request.use_labels is not False)
