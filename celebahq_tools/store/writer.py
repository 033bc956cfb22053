"""Write multi-resolution HDF5 files in the original's layout; the final name appears only when the file is whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import ShapeError
from celebahq_tools.hdf5_writing import write_hdf5
from celebahq_tools.store.bands import choose_bands
from celebahq_tools.store.compression import choose_filters
from celebahq_tools.store.encoding import EncodedFace, decode_planes, encode_levels, map_streams
from celebahq_tools.store.layout import choose_chunk, list_levels, name_level
from celebahq_tools.store.reader import count_cores


class DatasetForm(TypedDict, total=False):
    """What a dataset's images look like and how they are stored.

    Attributes:
        height, width: Full resolution in pixels.
        channels: 3 for RGB, the default, 1 for grey.
        compression: One of :data:`celebahq_tools.store.compression.COMPRESSIONS`, by default ``gzip``; every HDF5 reads
            ``gzip`` and ``none``.
    """

    height: Required[int]
    width: Required[int]
    channels: int
    compression: str


class DatasetWriter:
    """Appends images to an open file; made by :func:`create_dataset` and :func:`write_part`."""

    def __init__(self, file: Any, *, height: int, width: int, channels: int = 3, compression: str = "gzip") -> None:
        self._file = file
        self._shape = (height, width, channels)
        filters = choose_filters(compression)
        # Bands serve our reader, which decompresses gzip alone; the others keep the original's chunks.
        choose = choose_bands if compression == "gzip" else choose_chunk
        self._compression = compression
        self._levels = {
            name_level(h, w): file[name_level(h, w)]
            if name_level(h, w) in file
            else file.create_dataset(
                name_level(h, w),
                shape=(0, channels, h, w),
                maxshape=(None, channels, h, w),
                dtype=np.uint8,
                chunks=choose(channels, h, w),
                **filters,
            )
            for h, w in list_levels(height, width)
        }
        self._count = int(self._levels[name_level(height, width)].shape[0])

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Add one image and all its smaller levels.

        Args:
            pixels: (H, W, C) uint8 of the size the file was made for.
        Raises:
            ShapeError: If the image has another shape.
            OSError: If the disk is full.
        """
        if pixels.shape != self._shape:
            raise ShapeError(f"expected an image of shape {self._shape}, got {pixels.shape}")
        self.append_encoded(encode_levels(pixels, self._compression))

    def extend(self, images: Iterable[NDArray[np.uint8]], *, threads: int | None = None) -> None:
        """Add many images, compressed by several threads; the file is the same for any number of them.

        Args:
            images: (H, W, C) uint8 each; taken only as fast as they are written.
            threads: Threads that compress; by default one per core that this process may use.
        Raises:
            ShapeError: If an image has another shape; those before it are in the file.
            OSError: If the disk is full.
        """
        workers = threads or count_cores()
        under_way: deque[Future[dict[str, NDArray[np.uint8]]]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="celebahq-write") as pool:
            for pixels in images:
                if pixels.shape != self._shape:
                    self._drain(under_way, 0)
                    raise ShapeError(f"expected an image of shape {self._shape}, got {pixels.shape}")
                under_way.append(pool.submit(encode_levels, pixels, self._compression))
                self._drain(under_way, 2 * workers)
            self._drain(under_way, 0)

    def _drain(self, under_way: deque[Future[dict[str, NDArray[np.uint8]]]], most: int) -> None:
        while len(under_way) > most:
            self.append_encoded(under_way.popleft().result())

    def append_encoded(self, face: EncodedFace) -> None:
        """Add one image whose levels are compressed already.

        Args:
            face: As made by :func:`celebahq_tools.store.encoding.encode_face`; levels may also be plain (C, h, w)
                pixels.
        Raises:
            ShapeError: If a level is missing, as for a face of another size.
            OSError: If the disk is full.
        """
        streams = {name: map_streams(*dataset.shape[1:]) for name, dataset in self._levels.items()}
        plain = {name for name in streams if name in face and face[name].ndim == 3}
        expected = plain.union(*(names for name, names in streams.items() if name not in plain))
        if expected != face.keys():
            raise ShapeError(f"expected levels {sorted(expected)}, got {sorted(face)}")
        for name, dataset in self._levels.items():
            dataset.resize(self._count + 1, axis=0)
            if name in plain or self._compression != "gzip":
                dataset[self._count] = decode_planes(face, *dataset.shape[1:])
                continue
            for stream, band in streams[name].items():
                dataset.id.write_direct_chunk((self._count, *band.place), face[stream].tobytes())
        self._count += 1

    def add_table(self, name: str, values: NDArray[np.int64]) -> None:
        """Add a list with one number per image beside the levels, under a name that no reader takes for a level.

        Args:
            name: Must not start with ``data``.
            values: Shape (N,), N being the images added so far.
        Raises:
            ShapeError: If name or length would make the file unreadable for others.
        """
        if name.startswith("data") or values.shape != (self._count,):
            raise ShapeError(f"{name}: a table needs another name than a level's and {self._count} values")
        self._file.create_dataset(name, data=values)

    def __len__(self) -> int:
        return self._count


@contextmanager
def create_dataset(
    path: Path, *, attributes: Mapping[str, Any] | None = None, **form: Unpack[DatasetForm]
) -> Iterator[DatasetWriter]:
    """Yield a writer; ``path`` appears when the block ends without an error, whole and flushed to disk.

    Args:
        path: Final file; an existing one is replaced.
        attributes: Stored on the root; the levels themselves carry none, as in the original.
        **form: As of :class:`DatasetForm`.
    Raises:
        ConfigError: If the compression is unknown, or hdf5plugin is not installed for ``blosc``.
        OSError: If the folder cannot be written or the disk is full; no file is left at ``path``.
    """
    with (
        write_atomically(path) as temporary,
        write_part(temporary, fresh=True, attributes=attributes, **form) as writer,
    ):
        yield writer


@contextmanager
def write_part(
    path: Path, *, fresh: bool, attributes: Mapping[str, Any] | None = None, **form: Unpack[DatasetForm]
) -> Iterator[DatasetWriter]:
    """Yield a writer that adds to a file, which is closed afterwards, whatever happens; nothing here is atomic.

    The same images in the same parts give the same bytes; other parts give another order of HDF5's indices.

    Args:
        path: The file.
        fresh: Whether it is begun; else it was written by this function, with the same other arguments.
        attributes: As of :func:`create_dataset`.
        **form: As of :class:`DatasetForm`.
    Raises:
        ConfigError: As :func:`create_dataset`.
        OSError: If it cannot be written or the disk is full; whatever is in the file then is of no use.
    """
    with write_hdf5(path, "w" if fresh else "r+", libver=("earliest", "v110")) as file:
        if fresh:
            file.attrs.update(attributes or {})
        yield DatasetWriter(file, **form)
