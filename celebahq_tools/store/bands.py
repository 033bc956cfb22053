"""Bands: the chunks of a large level, some rows of one channel each, so that several threads share in one image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.store.layout import choose_chunk

# Measured in benchmarks/results/store.md: a band and its stream fit a core's cache, and 12 bands for an image of 1024
# keep several cores busy to the end; smaller ones cost more bytes and calls than they gain.
BAND_BYTES = 2**18


@dataclass(frozen=True)
class Band:
    """One of the chunks that make up an image.

    Attributes:
        place: Its first channel, row and column.
        area: Slices of the image (C, h, w) that it covers; at the edges less than the chunk.
    """

    place: tuple[int, int, int]
    area: tuple[slice, slice, slice]

    def __str__(self) -> str:
        _, rows, _ = self.area
        return f"channel {self.place[0]}, rows {rows.start} to {rows.stop - 1}"


def choose_bands(channels: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the chunk shape of a level under gzip: rows of one channel if an image takes over 256 KiB.

    Args:
        channels, height, width: Shape of the level; the smaller levels keep the original's chunks.
    """
    if channels * height * width <= BAND_BYTES:
        return choose_chunk(channels, height, width)
    bands = min(math.ceil(height * width / BAND_BYTES), height)
    return (1, 1, math.ceil(height / bands), width)


def list_bands(shape: Sequence[int], chunk: Sequence[int]) -> tuple[Band, ...]:
    """Return the chunks that make up one image, in the order of its pixels.

    Args:
        shape: (C, h, w) of the image.
        chunk: (C, h, w) of a chunk.
    """
    starts = product(*(range(0, side, step) for side, step in zip(shape, chunk, strict=True)))
    return tuple(
        Band(
            (channel, row, column),
            (
                slice(channel, min(channel + chunk[0], shape[0])),
                slice(row, min(row + chunk[1], shape[1])),
                slice(column, min(column + chunk[2], shape[2])),
            ),
        )
        for channel, row, column in starts
    )


def cut_band(image: NDArray[np.uint8], band: Band, chunk: Sequence[int]) -> NDArray[np.uint8]:
    """Return the pixels of a band as its chunk holds them: contiguous, with zeros beyond the image's edges.

    Args:
        image: (C, h, w).
        band: Of :func:`list_bands`.
        chunk: (C, h, w) of a chunk.
    """
    pixels = image[band.area]
    if pixels.shape != tuple(chunk):
        pixels = np.pad(pixels, [(0, full - side) for side, full in zip(pixels.shape, chunk, strict=True)])
    return np.ascontiguousarray(pixels)


def paste_band(
    image: NDArray[np.uint8],
    band: Band,
    chunk: Sequence[int],
    data: bytes | bytearray | memoryview | NDArray[np.uint8],
) -> None:
    """Put the data of a chunk where it belongs in an image; what lies beyond the edges is left out.

    Args:
        image: (C, h, w), changed.
        band: Of :func:`list_bands`.
        chunk: (C, h, w) of a chunk.
        data: As many bytes as a chunk has.
    """
    target = image[band.area]
    channels, height, width = target.shape
    target[:] = np.frombuffer(data, np.uint8).reshape(chunk)[:channels, :height, :width]
