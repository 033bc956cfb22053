"""Faces as the compressed chunks that the HDF5 file will hold, so that writing the dataset only copies bytes."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import StoreError
from celebahq_tools.store.layout import choose_chunk, compute_mips, name_level
from celebahq_tools.store.streams import compress_stream, decompress_stream

EncodedFace = Mapping[str, NDArray[np.uint8]]
"""Level name to its zlib stream (1-D) or, for levels whose chunks hold several images, its (C, h, w) pixels."""


def encode_face(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Return every level of an image, compressed where a chunk holds one image.

    Args:
        pixels: (H, W, C) uint8.
    Raises:
        ShapeError: If the image is not (H, W, C) uint8.
    """
    encoded = {}
    for mip in compute_mips(pixels):
        channels, height, width = mip.shape
        single = choose_chunk(channels, height, width)[0] == 1
        level = np.frombuffer(compress_stream(mip.data), np.uint8) if single else mip
        encoded[name_level(height, width)] = level
    return encoded


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
            sides = {int(name.partition("x")[2]): name for name in archive.files}
            chosen = min((one for one in sides if one >= side), default=max(sides))
            face = {sides[chosen]: archive[sides[chosen]]}
        return decode_level(face, sides[chosen], channels=channels)
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise StoreError(f"{path}: damaged or missing face ({error})") from None


def decode_level(face: EncodedFace, name: str, *, channels: int = 3) -> NDArray[np.uint8]:
    """Return one level of an encoded face as (H, W, C) pixels.

    Args:
        face: An encoded face.
        name: A level's name; square levels only.
        channels: Number of channels.
    """
    level = face[name]
    if level.ndim == 1:
        side = int(name.partition("x")[2])
        pixels = decompress_stream(level.data, channels * side * side)
        level = np.frombuffer(pixels, np.uint8).reshape(channels, side, side)
    return np.ascontiguousarray(level.transpose(1, 2, 0))
