"""What an importer is asked for, and what it must give."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.source.decoding import decode_any
from celebahq_tools.store.labels import Labels


@dataclass(frozen=True)
class ImportRequest:
    """Which images of a source.

    Attributes:
        path: Where it lies.
        part: Of sources that come in two parts.
        count: How many images to draw, of sources that are drawn at random; None for the source's own number.
        seed: Seed of random draws.
        use_labels: Whether labels are wanted; None for what is usual with the kind.
    """

    path: Path
    part: Literal["train", "test"] = "train"
    count: int | None = None
    seed: int = 0
    use_labels: bool | None = None


class ImportSource(ABC):
    """A set of images in a fixed order.

    ``read`` is called from one thread in increasing order, ``decode`` from any thread.

    Attributes:
        labels: (N, classes) float32, or None.
        label_names: Names of the labels' columns; empty if unknown.
        default_size: Side to bring images to if the user names none; None keeps them as they are.
    """

    labels: Labels | None = None
    label_names: tuple[str, ...] = ()
    default_size: int | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, index: int) -> str:
        """Return how the manifest calls an image."""

    @abstractmethod
    def read(self, index: int) -> Any:
        """Return an image as it is stored.

        Raises:
            RejectionError: If it cannot be read; the next one may be.
        """

    @abstractmethod
    def decode(self, raw: Any) -> NDArray[np.uint8]:
        """Return the pixels, (H, W, C) uint8 with one or three channels.

        Raises:
            RejectionError: If it is no usable image.
        """

    def hash(self, raw: Any) -> str:
        """Return the sha256 of what is stored."""
        return hashlib.sha256(raw).hexdigest()

    def close(self) -> None:  # noqa: B027 - not every source holds something open
        """Close the underlying file."""


Opener: TypeAlias = Callable[[ImportRequest], ImportSource]
"""Opens a source. Raises InputError if it cannot be used at all."""


class EncodedSource(ImportSource):
    """Image files, wherever their bytes lie."""

    def decode(self, raw: bytes) -> NDArray[np.uint8]:
        """Return the pixels of an image file; see :func:`~celebahq_tools.source.decoding.decode_any`."""
        return decode_any(raw)


class ArraySource(ImportSource):
    """Images that are stored as plain pixels, (C, H, W) uint8."""

    def decode(self, raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the pixels with channels last."""
        return np.ascontiguousarray(raw.transpose(1, 2, 0))

    def hash(self, raw: NDArray[np.uint8]) -> str:
        """Return the sha256 of the (C, H, W) bytes."""
        return hashlib.sha256(raw.tobytes()).hexdigest()
