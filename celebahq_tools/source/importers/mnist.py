"""MNIST padded to 32x32, and random triples of its digits stacked into the channels of one image (Table 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ConfigError
from celebahq_tools.source.idx import read_mnist
from celebahq_tools.source.importers.base import ArraySource, ImportRequest
from celebahq_tools.store.labels import encode_one_hot

PADDING = 2
_PARTS = {"train": "train", "test": "t10k"}
_TRIPLES = 1_000_000


class MnistSource(ArraySource):
    """60,000 or 10,000 grey digits with a black border of two pixels, and ten classes."""

    label_names = tuple("0123456789")

    def __init__(self, request: ImportRequest) -> None:
        self._digits, classes = read_mnist(request.path, _PARTS[request.part])
        self._part = request.part
        if request.use_labels is not False:
            self.labels = encode_one_hot(classes, 10)

    def __len__(self) -> int:
        return len(self._digits)

    def name(self, index: int) -> str:
        """Return the part and the number of the digit in it."""
        return f"{self._part}/{index}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return one digit, (1, 32, 32)."""
        return np.pad(self._digits[index], PADDING)[None]


class MnistRgbSource(ArraySource):
    """Triples of digits drawn with replacement, one to a channel: a thousand modes.

    Labels, if asked for, are the modes: ``100 red + 10 green + blue``, one-hot in 1000 columns (4 kB an image, which is
    why they are not usual).
    """

    def __init__(self, request: ImportRequest) -> None:
        self._digits, classes = read_mnist(request.path, _PARTS[request.part])
        self._part = request.part
        count = _TRIPLES if request.count is None else request.count
        if count < 1:
            raise ConfigError(f"--count {count}: draw at least one")
        rng = np.random.default_rng(request.seed)
        self._triples = rng.integers(len(self._digits), size=(count, 3), dtype=np.int64)
        if request.use_labels:
            self.labels = encode_one_hot(classes[self._triples] @ np.array([100, 10, 1]), 1000)
            self.label_names = tuple(f"{mode:03d}" for mode in range(1000))

    def __len__(self) -> int:
        return len(self._triples)

    def name(self, index: int) -> str:
        """Return the part and the numbers of the three digits in it."""
        red, green, blue = self._triples[index]
        return f"{self._part}/{red}+{green}+{blue}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return one triple, (3, 32, 32)."""
        return np.pad(self._digits[self._triples[index]], ((0, 0), (PADDING, PADDING), (PADDING, PADDING)))


def open_mnist(request: ImportRequest) -> MnistSource:
    """Open MNIST.

    Raises:
        InputError: If the IDX files are missing or damaged.
    """
    return MnistSource(request)


def open_mnist_rgb(request: ImportRequest) -> MnistRgbSource:
    """Draw triples of MNIST digits.

    Raises:
        InputError: If the IDX files are missing or damaged.
        ConfigError: If the count is not positive.
    """
    return MnistRgbSource(request)
