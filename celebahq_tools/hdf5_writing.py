"""HDF5 files opened for writing on a disk that may fill.

HDF5 does not survive that: what it still has to write when a file is closed it cannot, the file stays open inside it,
and the program ends in a segmentation fault. So some room is held back while a file is open, and given up when a write
fails, for HDF5 to close the file in.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import h5py

# More than HDF5 keeps back until a file is closed: indices of a part of a dataset (2 MB for 1,500 faces of 1024x1024),
# and the chunks of small levels, up to 1 MB a level.
SPARE_BYTES = 16 * 2**20
_ERRNO = re.compile(r"errno = (\d+)")


@contextmanager
def write_hdf5(path: Path, mode: Literal["w", "r+"], **options: Any) -> Iterator[h5py.File]:
    """Yield a file open for writing, which is closed afterwards, whatever happens.

    Args:
        path: The file.
        mode: ``w`` begins it, ``r+`` changes it.
        **options: Of :class:`h5py.File`.
    Raises:
        OSError: If it cannot be written, or the disk is full or has less than :data:`SPARE_BYTES` left; whatever is in
            the file then is of no use.
    """
    with _hold_room(path.parent) as spare, h5py.File(path, mode, **options) as file:
        try:
            yield file
            file.flush()  # not left to closing, after which no error could be made good
        except BaseException as error:
            spare.close()
            number = _find_errno(error)
            if number is None:
                raise
            raise OSError(number, os.strerror(number), str(path)) from error


@contextmanager
def _hold_room(folder: Path) -> Iterator[IO[bytes]]:
    """Yield a nameless file of :data:`SPARE_BYTES` on the folder's disk; the system frees it with the process."""
    with tempfile.TemporaryFile(dir=folder) as spare:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(spare.fileno(), 0, SPARE_BYTES)
        else:
            spare.write(bytes(SPARE_BYTES))
            spare.flush()
        yield spare


def _find_errno(error: BaseException) -> int | None:
    """Return the system's error number in an error of HDF5, which h5py raises as one kind or another; else None."""
    if not isinstance(error, (OSError, RuntimeError)):
        return None
    found = _ERRNO.search(str(error))
    number = int(found[1]) if found else None
    return number if number in errno.errorcode else None
