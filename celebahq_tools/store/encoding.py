"""Faces as the compressed chunks that the HDF5 file will hold, so that writing the dataset only copies bytes."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import StoreError
from celebahq_tools.store.bands import Band, choose_bands, cut_band, list_bands, paste_band
from celebahq_tools.store.layout import compute_mips, name_level
from celebahq_tools.store.streams import compress_stream, decompress_stream

EncodedFace = Mapping[str, NDArray[np.uint8]]
"""Levels by name: a zlib stream (1-D), or (C, h, w) pixels where a chunk holds several images.

A level in bands has a stream for each, under the level's name, a dot and the band's number."""


def encode_face(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Return every level of an image, compressed chunk by chunk unless a chunk holds several images.

    Args:
        pixels: (H, W, C) uint8.
    Raises:
        ShapeError: If the image is not (H, W, C) uint8.
    """
    encoded = {}
    for mip in compute_mips(pixels):
        channels, height, width = mip.shape
        images, *chunk = choose_bands(channels, height, width)
        if images > 1:
            encoded[name_level(height, width)] = mip
            continue
        for name, band in map_streams(channels, height, width).items():
            encoded[name] = np.frombuffer(compress_stream(cut_band(mip, band, chunk).data), np.uint8)
    return encoded


@lru_cache(maxsize=64)
def map_streams(channels: int, height: int, width: int) -> Mapping[str, Band]:
    """Return under which names an encoded face has a level, the level's own or one for each band, and their bands."""
    name, shape = name_level(height, width), (channels, height, width)
    bands = list_bands(shape, choose_bands(*shape)[1:])
    names = [name] if len(bands) == 1 else [f"{name}.{number}" for number in range(len(bands))]
    return MappingProxyType(dict(zip(names, bands, strict=True)))


def encode_levels(pixels: NDArray[np.uint8], compression: str) -> dict[str, NDArray[np.uint8]]:
    """Return every level of an image as a file with this compression takes it: compressed, or plain for HDF5 to do it.

    Args:
        pixels: (H, W, C) uint8.
        compression: One of :data:`celebahq_tools.store.compression.COMPRESSIONS`.
    Raises:
        ShapeError: If the image is not (H, W, C) uint8.
    """
    if compression == "gzip":
        return encode_face(pixels)
    return {name_level(*mip.shape[1:]): mip for mip in compute_mips(pixels)}


def save_encoded(path: Path, face: EncodedFace) -> None:
    """Write an encoded face; the file is whole or absent.

    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    with write_atomically(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **dict(face))


def load_encoded(path: Path) -> dict[str, NDArray[np.uint8]]:
    """Read an encoded face; the archive's checksums are verified.

    Raises:
        StoreError: If the file is missing or damaged; deleting it makes the build redo that face.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise StoreError(f"{path}: damaged or missing face ({error}); delete it and run the same build again") from None


def load_level(path: Path, side: int, *, channels: int = 3) -> NDArray[np.uint8]:
    """Read one level of an encoded face, and no other byte of its levels.

    Args:
        path: As written by :func:`save_encoded`.
        side: The smallest level of at least this side is returned, or the largest.
        channels: Number of channels.
    Returns:
        (h, w, C) pixels.
    Raises:
        StoreError: If the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = {name: name.partition(".")[0] for name in archive.files}
            sides = {int(level.partition("x")[2]): level for level in names.values()}
            chosen = sides[min((one for one in sides if one >= side), default=max(sides))]
            face = {name: archive[name] for name, level in names.items() if level == chosen}
        return decode_level(face, chosen, channels=channels)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise StoreError(f"{path}: damaged or missing face ({error})") from None


def decode_level(face: EncodedFace, name: str, *, channels: int = 3) -> NDArray[np.uint8]:
    """Return one level of an encoded face as (H, W, C) pixels.

    Args:
        face: An encoded face.
        name: A level's name; square levels only.
        channels: Number of channels.
    """
    side = int(name.partition("x")[2])
    return np.ascontiguousarray(decode_planes(face, channels, side, side).transpose(1, 2, 0))


def decode_planes(face: EncodedFace, channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return one level of an encoded face as (C, h, w) pixels.

    Args:
        face: An encoded face; the level may also be one stream, as it was before there were bands.
        channels, height, width: Shape of the level.
    Raises:
        KeyError: If the face lacks the level or one of its bands.
        StoreError: If a stream is damaged.
    """
    name, shape = name_level(height, width), (channels, height, width)
    if name not in face:
        chunk = choose_bands(*shape)[1:]
        pixels = np.empty(shape, np.uint8)
        for stream, band in map_streams(*shape).items():
            paste_band(pixels, band, chunk, decompress_stream(face[stream].data, math.prod(chunk)))
        return pixels
    level = face[name]
    if level.ndim > 1:
        return level
    return np.frombuffer(decompress_stream(level.data, math.prod(shape)), np.uint8).reshape(shape)
