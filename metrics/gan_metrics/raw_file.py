"""Plain numbers at places in open files, moved by many threads at once without holding up the interpreter."""

from __future__ import annotations

import os
import threading
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import StoreError


class RawArray:
    """An array that lies uncompressed in a file, read in slices along its first axis.

    Args:
        file: Open for reading, unbuffered; stays open as long as the array is used.
        offset: Byte at which the numbers begin.
        shape: Of the array.
        dtype: Of its numbers.
    """

    def __init__(self, file: IO[bytes], offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self._file, self._offset = file, offset
        self._row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise IndexError("a raw array is read in slices without gaps")
        out = np.empty((max(stop - start, 0), *self.shape[1:]), self.dtype)
        self.read_into(start, out)
        return out

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole array, read anew, for :func:`numpy.asarray`."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def read_into(self, start: int, out: NDArray[Any]) -> None:
        """Fill ``out``, contiguous and of this array's dtype, with the rows from ``start`` on.

        Raises:
            StoreError: If the file ends before them.
        """
        if not move_whole(
            self._file, out.reshape(-1).data.cast("B"), self._offset + start * self._row_bytes, self._lock, "read"
        ):
            raise StoreError(f"{self._file.name}: cut short; make it again")


def move_whole(
    file: IO[bytes], data: memoryview, position: int, lock: threading.Lock, way: Literal["read", "write"]
) -> bool:
    """Fill a buffer from a place in an unbuffered file, or write it there; False at the end of the file.

    An unbuffered file may move less at a time. One file position is shared by all threads: where the system can do
    without it they need not wait for each other.

    Args:
        file: Unbuffered.
        data: Bytes.
        position: Where in the file.
        lock: Taken where the system moves the file's position.
        way: Which way the bytes go.
    """
    moved = 0
    while moved < len(data):
        rest, place = data[moved:], position + moved
        if hasattr(os, "preadv"):
            count = os.preadv(file.fileno(), [rest], place) if way == "read" else os.pwrite(file.fileno(), rest, place)
        else:
            with lock:
                file.seek(place)
                count = file.readinto(rest) if way == "read" else file.write(rest)  # type: ignore[attr-defined]
        if not count:
            return False
        moved += count
    return True
