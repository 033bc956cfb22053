"""Quality scores of images that are finished already: files, archives, datasets."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import ConfigError, InputError, RejectionError
from celebahq_tools.rank.blockiness import measure_blockiness
from celebahq_tools.rank.quality import FACE_COMPONENTS, score_face
from celebahq_tools.rank.spectrum import MAX_SIZE, MIN_SIZE, QualityScore
from celebahq_tools.source.images import decode_image, open_images
from celebahq_tools.types import Pixels, ProgressListener


@dataclass(frozen=True)
class RankedImage:
    """An image and its score; ``size`` is the side of the square that was scored, in pixels."""

    name: str
    size: int
    score: QualityScore


@dataclass(frozen=True)
class Ranking:
    """Scored images, best first, and what could not be scored with the reason."""

    rows: list[RankedImage]
    rejected: list[tuple[str, str]]


def rank_images(source: Path, *, size: int | None, listener: ProgressListener) -> Ranking:
    """Score every image of a source.

    Args:
        source: An image file, or what :func:`celebahq_tools.source.images.open_images` takes.
        size: Side of the square in the middle that is scored, a power of two; as large as fits when omitted.
        listener: Is told of every image.
    Raises:
        InputError: If there is no such file or it holds no images.
        ConfigError: If the size is not a power of two from 64 to 1024.
    """
    if size is not None and (not MIN_SIZE <= size <= MAX_SIZE or size & (size - 1)):
        raise ConfigError(f"--size {size}: must be a power of two from {MIN_SIZE} to {MAX_SIZE}")
    rows: list[RankedImage] = []
    rejected: list[tuple[str, str]] = []
    single = _read_single(source)
    images = None if single is not None else open_images(source)
    try:
        total = 1 if images is None else len(images)
        listener.begin_stage("rank", total=total, done=0)
        for index in range(total):
            name = source.name if images is None else images.name(index)
            try:
                planes = decode_image(single) if images is None and single is not None else images.load(index)  # type: ignore[union-attr]
                pixels = np.ascontiguousarray(planes.transpose(1, 2, 0))
                rows.append(_score_image(name, pixels, size))
            except RejectionError as rejection:
                rejected.append((name, str(rejection)))
            listener.advance(None)
    finally:
        if images is not None:
            images.close()
    # Of equal scores the name decides, so that the order is always the same.
    rows.sort(key=lambda row: (-row.score.value, row.name))
    return Ranking(rows, rejected)


def write_ranking(path: Path, ranking: Ranking) -> None:
    """Write a ranking as CSV, rejected images last; the file is whole or absent."""
    with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["rank", "name", "size", "score", *FACE_COMPONENTS, "rejected"])
        for number, row in enumerate(ranking.rows, start=1):
            parts = [f"{row.score.components[name]:.9g}" for name in FACE_COMPONENTS]
            writer.writerow([number, row.name, row.size, f"{row.score.value:.9g}", *parts, ""])
        for name, reason in ranking.rejected:
            writer.writerow(["", name, "", "", *[""] * len(FACE_COMPONENTS), reason])


def _read_single(source: Path) -> bytes | None:
    """Return the bytes of an image file; None if the source is a folder or a set of images."""
    from celebahq_tools.source.images import SUFFIXES

    if source.is_dir() or source.suffix.lower() not in SUFFIXES:
        return None
    try:
        return source.read_bytes()
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None


def _score_image(name: str, pixels: Pixels, size: int | None) -> RankedImage:
    least = min(pixels.shape[:2])
    side = max(size or min(1 << (least.bit_length() - 1), MAX_SIZE), MIN_SIZE)
    if least < side:
        raise RejectionError("rank", "too_small", f"{pixels.shape[1]}x{pixels.shape[0]} pixels, need {side}")
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    return RankedImage(name, side, score_face(square, blockiness=measure_blockiness(pixels)))
