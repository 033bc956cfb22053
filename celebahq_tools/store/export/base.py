"""What every exporter is given, and what it must be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.store.labels import Labels
from celebahq_tools.store.reader import DatasetReader


@dataclass(frozen=True, eq=False)
class ExportJob:
    """One level of a dataset on its way out.

    Attributes:
        reader: The dataset.
        name: The output's name without its suffix, for formats whose files bear it.
        height: Height of the level to export, in pixels.
        png_level: 0 (stored, largest, fastest) to 9.
        shard_size: Images to a shard, for formats in shards.
        workers: Threads that encode.
        advance: Called after each image.
    """

    reader: DatasetReader
    name: str
    height: int
    png_level: int = 1
    shard_size: int = 1000
    workers: int = 1
    advance: Callable[[], None] = lambda: None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the level."""
        return next(shape for shape in self.reader.shapes if shape[1] == self.height)

    @property
    def labels(self) -> Labels | None:
        """(N, classes) float32, or None."""
        return self.reader.labels

    def __len__(self) -> int:
        return len(self.reader)

    def read_images(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the images in order, (C, H, W) uint8, telling ``advance`` of each that was used."""
        for index in range(len(self.reader)):
            yield self.reader.read(index, height=self.height)
            self.advance()

    def encode_images(self) -> Iterator[bytes]:
        """Yield the images in order as PNG files, encoded in threads, telling ``advance`` of each that was used."""
        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for index in range(len(self.reader)):
                    pixels = self.reader.read(index, height=self.height)
                    waiting.append(pool.submit(encode_png, pixels, self.png_level))
                    if len(waiting) >= 2 * self.workers:
                        yield waiting.popleft().result()
                        self.advance()
                while waiting:
                    yield waiting.popleft().result()
                    self.advance()
            finally:
                for future in waiting:
                    future.cancel()


class Exporter(Protocol):
    """A format that a dataset can be written in.

    Attributes:
        is_folder: Whether the output is a folder.
        suffix: What the output's name must end in, because readers tell formats by it; empty for a folder.
        own_names: Regular expression of the paths, relative to the output folder, that an export makes. Only a
            folder that holds nothing else may be replaced.
    """

    is_folder: bool
    suffix: str
    own_names: str

    def check(self, job: ExportJob) -> None:
        """Raise a ShapeError or ConfigError if the format cannot hold the dataset."""

    def write(self, job: ExportJob, target: Path) -> None:
        """Write the export to ``target``: an existing empty folder or file."""


def encode_png(pixels: NDArray[np.uint8], level: int) -> bytes:
    """Return an image as a PNG file: RGB for three channels, grey for one.

    Args:
        pixels: (C, H, W) uint8.
        level: zlib's level, 0 to 9.
    """
    import cv2

    # cv2 wants BGR, and unlike Pillow it lets other threads run meanwhile.
    ordered = np.ascontiguousarray(pixels[::-1].transpose(1, 2, 0))
    return bytes(cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, level])[1])


def name_image(index: int) -> str:
    """Return StyleGAN's name of an image, a thousand to a folder: ``00012/img00012345.png``."""
    digits = f"{index:08d}"
    return f"{digits[:5]}/img{digits}.png"
