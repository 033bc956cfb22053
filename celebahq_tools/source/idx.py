"""Read IDX files, the format of the MNIST digits."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError

_UINT8 = 8
# EMNIST, the largest of its family, has files of 522 MiB.
_MAX_BYTES = 1 << 30


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of an IDX file of unsigned bytes, plain or gzipped.

    Raises:
        InputError: If it is missing, cut short, or of another type.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            # A few kilobytes can be the gzip file of any amount of zeros.
            data = stream.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if len(data) > _MAX_BYTES:
        raise InputError(f"{path}: holds more than {_MAX_BYTES >> 20} MiB; MNIST's largest file holds 45")
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UINT8:
        raise InputError(f"{path}: not an IDX file of unsigned bytes")
    dimensions = data[3]
    header = 4 + 4 * dimensions
    if len(data) < header:
        raise InputError(f"{path}: cut short")
    shape = tuple(int(side) for side in np.frombuffer(data, dtype=">u4", count=dimensions, offset=4))
    if len(data) - header != int(np.prod(shape)):
        raise InputError(f"{path}: holds {len(data) - header} bytes, its header {shape} asks for {int(np.prod(shape))}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def read_mnist(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return digits (N, 28, 28) and labels (N,) of MNIST.

    Args:
        folder: Holds the four IDX files under their usual names, plain or gzipped.
        part: ``"train"`` or ``"t10k"``.
    Raises:
        InputError: If files are missing or do not belong together.
    """
    found = []
    for kind in ("images-idx3", "labels-idx1"):
        names = [f"{part}-{kind}-ubyte", f"{part}-{kind}-ubyte.gz", f"{part}-{kind}-ubyte".replace("-idx", ".idx")]
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            raise InputError(f"{folder}: holds no {names[0]}; give the folder of the four MNIST IDX files")
        found.append(read_idx(path))
    images, labels = found
    if images.ndim != 3 or images.shape[1:] != (28, 28) or labels.shape != (len(images),):
        raise InputError(f"{folder}: images {images.shape} and labels {labels.shape} are not MNIST's")
    return images, labels
