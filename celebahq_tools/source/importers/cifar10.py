"""CIFAR-10, from its binary version or from its Python version, whose pickles are read without running them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError
from celebahq_tools.source.importers.base import ArraySource, ImportRequest
from celebahq_tools.source.importers.plain_pickle import load_plain_pickle
from celebahq_tools.store.labels import encode_one_hot

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_PARTS = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
_FOLDERS = (".", "cifar-10-batches-bin", "cifar-10-batches-py")


class Cifar10Source(ArraySource):
    """50,000 or 10,000 images of ten classes, in the order of the batches."""

    label_names = CLASSES

    def __init__(self, path: Path, part: str, *, use_labels: bool) -> None:
        images, classes = zip(*(_read_batch(file) for file in _find_batches(path, _PARTS[part])), strict=True)
        self._images = np.concatenate(images)
        self._names = [f"{_PARTS[part][n]}/{i}" for n, batch in enumerate(images) for i in range(len(batch))]
        if use_labels:
            self.labels = encode_one_hot(np.concatenate(classes), len(CLASSES))

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        """Return the batch and the number in it."""
        return self._names[index]

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return one image, (3, 32, 32)."""
        image: NDArray[np.uint8] = self._images[index]
        return image


def _find_batches(path: Path, names: tuple[str, ...]) -> list[Path]:
    for folder in _FOLDERS:
        for suffix in (".bin", ""):
            files = [path / folder / f"{name}{suffix}" for name in names]
            if all(file.is_file() for file in files):
                return files
    raise InputError(
        f"{path}: holds no {names[0]}.bin or {names[0]}; give the unpacked folder of CIFAR-10, all batches"
    )


def _read_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if path.suffix == ".bin":
        if not data or len(data) % _RECORD:
            raise InputError(f"{path}: {len(data)} bytes are not whole records of {_RECORD}; download it again")
        records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
        images, classes = records[:, 1:], records[:, 0].astype(np.int64)
    else:
        try:
            batch = load_plain_pickle(data)
            images, classes = np.asarray(batch["data"]), np.array(batch["labels"], dtype=np.int64)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise InputError(f"{path}: not a batch of CIFAR-10 ({error}); download it again") from None
        if images.dtype != np.uint8 or images.shape != (len(classes), _RECORD - 1) or classes.ndim != 1:
            raise InputError(f"{path}: {images.dtype} {images.shape} with {classes.shape} labels is not CIFAR-10")
    if len(classes) and not 0 <= classes.min() <= classes.max() < len(CLASSES):
        raise InputError(f"{path}: has class {classes.max()}, expected 0 to 9; is it CIFAR-100?")
    return images.reshape(-1, *_SHAPE), classes


def open_cifar10(request: ImportRequest) -> Cifar10Source:
    """Open CIFAR-10.

    Raises:
        InputError: If batches are missing or damaged.
    """
    return Cifar10Source(request.path, request.part, use_labels=request.use_labels is not False)
