"""An HDF5 file that grows over many runs of a program: checkpoints that survive what HDF5 itself does not.

HDF5 overwrites its indices in place, so that a file that was being written when the power failed is lost as a whole.
Yet the chunks of the large levels, which are nearly all of its bytes, are written once and never moved. A checkpoint
remembers the length of a closed file and a copy of all its other bytes; cutting the file to that length and putting
those bytes back gives the closed file again, bit for bit, whatever was written since.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.atomic import sync_to_disk, write_atomically

CHECKPOINT = "dataset.checkpoint"
"""Name of a build's checkpoint in its work folder."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A closed HDF5 file at some length, without the chunks that never change again.

    Attributes:
        facts: What its owner wants to remember; JSON.
        written: Source indices of the images in the file, in their order.
        length: Bytes of the file.
        starts, sizes: (K,) int64: where the bytes lie that later writes may change, ascending.
        content: uint8: those bytes, one piece after the other.
    """

    facts: Mapping[str, Any]
    written: NDArray[np.int64]
    length: int
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    content: NDArray[np.uint8]


def take_checkpoint(file: Path, written: NDArray[np.int64], facts: Mapping[str, Any]) -> Checkpoint:
    """Return a checkpoint of a closed file.

    Args:
        file: A file of :func:`celebahq_tools.store.writer.write_part`, on the disk for good.
        written: Source indices of its images.
        facts: What else to remember.
    """
    length = file.stat().st_size
    extents = list_extents(file)
    extents = extents[np.argsort(extents[:, 1])]
    ends = extents[:, 1] + extents[:, 2]
    starts = np.concatenate([[0], ends])
    sizes = np.concatenate([extents[:, 1], [length]]) - starts
    starts, sizes = starts[sizes > 0], sizes[sizes > 0]
    return Checkpoint(facts, written, length, starts, sizes, _read_pieces(file, starts, sizes))


def list_extents(file: Path) -> NDArray[np.int64]:
    """Return position of the image, offset and size in bytes of every chunk of one image only, (N, 3) int64.

    Chunks of several images are left out: HDF5 writes those again, perhaps elsewhere, when an image is added.
    """
    found: list[tuple[int, int, int]] = []

    def note(chunk: Any) -> None:
        found.append((int(chunk.chunk_offset[0]), chunk.byte_offset, chunk.size))

    with h5py.File(file, "r") as opened:
        for name, level in opened.items():
            if name.startswith("data") and level.chunks[0] == 1:
                level.id.chunk_iter(note)
    return np.array(found, np.int64).reshape(-1, 3)


def _read_pieces(file: Path, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    content = bytearray()
    with file.open("rb") as stream:
        for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
            stream.seek(start)
            content += stream.read(size)
    return np.frombuffer(bytes(content), np.uint8)


def restore_file(file: Path, checkpoint: Checkpoint) -> None:
    """Bring a file back to its checkpoint, on the disk for good.

    Raises:
        OSError: If it cannot be written.
    """
    os.truncate(file, checkpoint.length)
    place = 0
    with file.open("r+b") as stream:
        for start, size in zip(checkpoint.starts.tolist(), checkpoint.sizes.tolist(), strict=True):
            stream.seek(start)
            stream.write(checkpoint.content[place : place + size].tobytes())
            place += size
    sync_to_disk(file)


def matches_checkpoint(file: Path, checkpoint: Checkpoint) -> bool:
    """Return whether a file is the one of a checkpoint: its indices name place and size of every chunk."""
    try:
        same_length = file.stat().st_size == checkpoint.length
        found = _read_pieces(file, checkpoint.starts, checkpoint.sizes) if same_length else None
    except OSError:
        return False
    return found is not None and np.array_equal(found, checkpoint.content)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the one that was there before stays until the new one is whole.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    with write_atomically(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            allow_pickle=False,
            facts=np.array(json.dumps(dict(checkpoint.facts))),
            written=checkpoint.written,
            length=np.array(checkpoint.length),
            starts=checkpoint.starts,
            sizes=checkpoint.sizes,
            content=checkpoint.content,
        )


def load_checkpoint(path: Path) -> Checkpoint | None:
    """Read a checkpoint, its checksums verified; None if there is none or it is damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return Checkpoint(
                json.loads(str(archive["facts"])),
                archive["written"],
                int(archive["length"]),
                archive["starts"],
                archive["sizes"],
                archive["content"],
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def count_written(path: Path) -> int:
    """Return how many images the file of a checkpoint holds, reading no more than that; 0 without one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return len(archive["written"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return 0
