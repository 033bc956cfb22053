"""An HDF5 file that grows over many runs of a program: checkpoints that survive what HDF5 itself does not.

HDF5 overwrites its indices in place, so that a file that was being written when the power failed is lost as a whole.
Yet the chunks of the large levels, which are nearly all of its bytes, are written once and never moved. A checkpoint
remembers the length of a closed file and a copy of all its other bytes; cutting the file to that length and putting
those bytes back gives the closed file again, bit for bit, whatever was written since.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.atomic import sync_to_disk, write_atomically

CHECKPOINT = "dataset.checkpoint"
"""Name of a build's checkpoint in its work folder."""
_CONTENT = "content"
_BLOCK = 2**20
_CACHE_BYTES = 2**18


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A closed HDF5 file at some length, without the chunks that never change again.

    Attributes:
        path: Where the checkpoint is saved, with the bytes that later writes may change: too many to be held in memory.
        facts: What its owner wants to remember; JSON.
        written: Source indices of the images in the file, in their order.
        length: Bytes of the file.
        starts, sizes: (K,) int64: where those bytes lie, ascending.
    """

    path: Path
    facts: Mapping[str, Any]
    written: NDArray[np.int64]
    length: int
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def pieces(self) -> Iterator[tuple[int, int]]:
        """Start and size of each piece of the file that is saved."""
        return zip(self.starts.tolist(), self.sizes.tolist(), strict=True)


def save_checkpoint(path: Path, file: Path, written: NDArray[np.int64], facts: Mapping[str, Any]) -> Checkpoint:
    """Write a checkpoint of a closed file; the one that was there before stays until the new one is whole.

    Args:
        path: Where to write it.
        file: A file of :func:`celebahq_tools.store.writer.write_part`, on the disk for good.
        written: Source indices of its images.
        facts: What else to remember.
    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    length = file.stat().st_size
    extents = list_extents(file)
    extents = extents[np.argsort(extents[:, 1])]
    ends = extents[:, 1] + extents[:, 2]
    starts = np.concatenate([[0], ends])
    sizes = np.concatenate([extents[:, 1], [length]]) - starts
    checkpoint = Checkpoint(path, facts, written, length, starts[sizes > 0], sizes[sizes > 0])
    arrays = {
        "facts": np.array(json.dumps(dict(facts))),
        "written": written,
        "length": np.array(length),
        "starts": checkpoint.starts,
        "sizes": checkpoint.sizes,
    }
    with write_atomically(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        with archive.open(_CONTENT, "w", force_zip64=True) as member, file.open("rb") as stream:
            for start, size in checkpoint.pieces:
                stream.seek(start)
                for block in _read_blocks(stream, size):
                    member.write(block)
    return checkpoint


def list_extents(file: Path) -> NDArray[np.int64]:
    """Return where the chunks of one image only lie: position of the image, offset and size in bytes, (N, 3) int64.

    Chunks of the same image that follow each other are one row. Chunks of several images are left out: HDF5 writes
    those again, perhaps elsewhere, when an image is added.
    """
    found = array("q")  # a list of tuples would take seven times the memory, and there are many chunks

    def note(chunk: Any) -> None:
        image, start = int(chunk.chunk_offset[0]), chunk.byte_offset
        if found and found[-3] == image and found[-2] + found[-1] == start:
            found[-1] += chunk.size
        else:
            found.extend((image, start, chunk.size))

    with h5py.File(file, "r") as opened:
        _bound_cache(opened)
        for name, level in opened.items():
            if name.startswith("data") and level.chunks[0] == 1:
                level.id.chunk_iter(note)
    return np.frombuffer(found, np.int64).reshape(-1, 3)


def _bound_cache(file: h5py.File) -> None:
    """Keep HDF5 from holding the whole index of a file in memory while it goes through it once."""
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = _CACHE_BYTES
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0  # HDF5's numbers for never growing or shrinking
    file.id.set_mdc_config(config)


def _read_blocks(stream: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the next bytes of a stream in blocks; fewer where it ends before."""
    while size > 0 and (block := stream.read(min(size, _BLOCK))):
        yield block
        size -= len(block)


def restore_file(file: Path, checkpoint: Checkpoint) -> None:
    """Bring a file back to its checkpoint, on the disk for good.

    Raises:
        OSError: If it cannot be written.
    """
    os.truncate(file, checkpoint.length)
    with _open_content(checkpoint) as content, file.open("r+b") as stream:
        for start, size in checkpoint.pieces:
            stream.seek(start)
            for block in _read_blocks(content, size):
                stream.write(block)
    sync_to_disk(file)


def matches_checkpoint(file: Path, checkpoint: Checkpoint) -> bool:
    """Return whether a file is the one of a checkpoint: its indices name place and size of every chunk."""
    try:
        if file.stat().st_size != checkpoint.length:
            return False
        with _open_content(checkpoint) as content, file.open("rb") as stream:
            for start, size in checkpoint.pieces:
                stream.seek(start)
                if any(block != stream.read(len(block)) for block in _read_blocks(content, size)):
                    return False
    except OSError:
        return False
    return True


@contextmanager
def _open_content(checkpoint: Checkpoint) -> Iterator[IO[bytes]]:
    """Yield a stream of all pieces, one after the other."""
    with zipfile.ZipFile(checkpoint.path) as archive, archive.open(_CONTENT) as content:
        yield content


def load_checkpoint(path: Path) -> Checkpoint | None:
    """Read a checkpoint, its checksums verified; None if there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            checkpoint = Checkpoint(
                path,
                json.loads(str(archive["facts"])),
                archive["written"],
                int(archive["length"]),
                archive["starts"],
                archive["sizes"],
            )
        with _open_content(checkpoint) as content:
            found = sum(map(len, _read_blocks(content, sys.maxsize)))  # to the end, where the checksum is compared
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return checkpoint if found == checkpoint.sizes.sum() else None


def count_written(path: Path) -> int:
    """Return how many images the file of a checkpoint holds, reading no more than that; 0 without one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return len(archive["written"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return 0
