"""Types that travel between the stages: frozen, checked on construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import RejectionError, ShapeError

Pixels = NDArray[np.uint8]
"""An image, (H, W, 3) uint8 RGB."""

LANDMARK_NAMES = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")


def check_pixels(pixels: Pixels, what: str) -> None:
    """Raise :class:`ShapeError` unless the array is a non-empty (H, W, 3) uint8 image.

    Args:
        pixels: What should be an image.
        what: Begins the message.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ShapeError(f"{what}: expected a uint8 image of shape (H, W, 3), got {pixels.dtype} {pixels.shape}")


@dataclass(frozen=True, eq=False)
class SourceItem:
    """One photograph to work on, or the reason it cannot be.

    Attributes:
        index: Position in the source, 0-based; CelebA's ``orig_idx``.
        file: Name as the source lists it.
        path: Where the photograph lies.
        landmarks: (5, 2) float32 pixel coordinates x, y in the order of :data:`LANDMARK_NAMES`; None if unusable.
        problem: Why the item is rejected before it is opened, if it is.
        face: Which of the faces that the detector finds in it, the largest being 0; None if the landmarks are given.
    """

    index: int
    file: str
    path: Path
    landmarks: NDArray[np.float32] | None
    problem: RejectionError | None = None
    face: int | None = None

    def __post_init__(self) -> None:
        if self.landmarks is None:
            if self.problem is None and self.face is None:
                raise ShapeError(f"{self.file}: an item without landmarks needs the reason why")
        elif self.landmarks.shape != (5, 2):
            raise ShapeError(f"{self.file}: landmarks must be (5, 2), got {self.landmarks.shape}")


@dataclass(frozen=True, eq=False)
class ItemRecord:
    """What became of one photograph: a scored face or a rejection. One row of the journal and of the manifest.

    Attributes:
        index, file: As in :class:`SourceItem`.
        sha256: Checksum of the photograph's file; empty if it could not be read.
        landmarks: (5, 2), or None if there are none.
        quad: (4, 2) float64 corners NW, SW, SE, NE in the photograph's pixels, or None before alignment.
        zoom: Output pixels per photograph pixel.
        photo_fraction: Share of the face picture that is photograph and not padding, 0..1.
        score: Quality score, higher is better; None for a rejection.
        components: Parts of the score by name.
        stage, reason, detail: Set for a rejection, else empty.
        seconds: Wall time by stage; only the journal keeps it.
        facts: What else a stage found out about the photograph or the face, as JSON can hold it; the journal keeps it.
        thumb: Thumbnail by which duplicates are found, as :func:`celebahq_tools.rank.duplicates.encode_thumb` gives it;
            empty for a rejection. Only the journal keeps it.
    """

    index: int
    file: str
    sha256: str = ""
    landmarks: NDArray[np.float32] | None = None
    quad: NDArray[np.float64] | None = None
    zoom: float | None = None
    photo_fraction: float | None = None
    score: float | None = None
    components: Mapping[str, float] = field(default_factory=dict)
    stage: str = ""
    reason: str = ""
    detail: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    thumb: bytes = b""

    def __post_init__(self) -> None:
        if (self.score is None) != bool(self.reason):
            raise ShapeError(f"{self.file}: a record is either scored or rejected")


class ProgressListener(Protocol):
    """Is told how long work goes on; the command line draws progress bars from it."""

    def begin_stage(self, name: str, *, total: int, done: int) -> None:
        """A stage starts, ``done`` of its ``total`` steps being done already."""

    def advance(self, record: ItemRecord | None) -> None:
        """One step is done; ``record`` says what became of a photograph, if it was about one."""
