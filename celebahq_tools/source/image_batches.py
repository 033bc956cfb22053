"""Read images of a source in threads, in order, in batches of one size; unreadable ones are named and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celebahq_tools.errors import InputError, RejectionError, ShapeError
from celebahq_tools.source.images import ImageSource


def shrink_image(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return an image reduced by Pillow's Lanczos filter, whose support grows with the reduction (antialiased).

    Args:
        pixels: (3, H, W) uint8.
        height, width: New size, not larger.
    Raises:
        ShapeError: If it would be enlarged, or its proportions changed by more than rounding.
    """
    old_height, old_width = pixels.shape[1:]
    if (old_height, old_width) == (height, width):
        return pixels
    if old_height < height or old_width < width:
        raise ShapeError(f"{old_height}x{old_width} is smaller than {height}x{width}; images are never enlarged")
    if abs(old_height * width - old_width * height) > max(old_height, old_width):
        raise ShapeError(f"{old_height}x{old_width} has other proportions than {height}x{width}; crop it first")
    image = Image.fromarray(pixels.transpose(1, 2, 0)).resize((width, height), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


@dataclass
class BatchReader:
    """Reads images in threads and gives them out in order, in batches; unreadable ones are named and counted.

    Attributes:
        source: Where from.
        skip_bad: Go on without unreadable images; otherwise the reading ends in an error that lists them.
        size: (H, W) to reduce all images to; None wants them equal already.
        workers: Threads that decode.
        bad: (name, reason) of the unreadable images met so far.
    """

    source: ImageSource
    skip_bad: bool = False
    size: tuple[int, int] | None = None
    workers: int = 1
    bad: dict[str, str] = field(default_factory=dict)

    def read_batches(
        self, indices: Iterable[int] | None = None, *, batch_size: int = 32
    ) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
        """Yield (indices, (n, 3, H, W) uint8) in the order asked for.

        Raises:
            InputError: If images were unreadable and are not to be skipped; all the others have been read by then, so
                that the message counts them all.
            ShapeError: If two images differ in size.
        """
        first: tuple[str, tuple[int, ...]] | None = None
        numbers: list[int] = []
        images: list[NDArray[np.uint8]] = []
        for index, image in self._read_in_order(range(len(self.source)) if indices is None else indices):
            if self.bad and not self.skip_bad:
                continue
            name = self.source.name(index)
            first = first or (name, image.shape)
            if image.shape != first[1]:
                raise ShapeError(
                    f"{self.source.path}: sizes differ: {first[0]} is {_format_size(first[1])}, {name} is "
                    f"{_format_size(image.shape)} (height x width); pass --resize to bring all to one size"
                )
            numbers.append(index)
            images.append(image)
            if len(images) == batch_size:
                yield numbers, np.stack(images)
                numbers, images = [], []
        self.check_bad()
        if images:
            yield numbers, np.stack(images)

    def check_bad(self) -> None:
        """Raise InputError if images were unreadable and are not to be skipped."""
        if self.bad and not self.skip_bad:
            raise InputError(f"{self.source.path}: {self.describe_bad()}; repair them or pass --skip-bad")

    def describe_bad(self) -> str:
        """Return how many images were unreadable, with the names and reasons of the first five."""
        listed = "; ".join(f"{name}: {reason}" for name, reason in islice(self.bad.items(), 5))
        more = f"; and {len(self.bad) - 5} more" if len(self.bad) > 5 else ""
        return f"{len(self.bad)} of {len(self.source)} images cannot be used ({listed}{more})"

    def _read_in_order(self, indices: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        remaining = iter(indices)
        waiting: list[tuple[int, Future[NDArray[np.uint8]]]] = []
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                while True:
                    for index in islice(remaining, self.workers * 8 - len(waiting)):
                        waiting.append((index, pool.submit(self._load, index)))
                    if not waiting:
                        return
                    index, future = waiting.pop(0)
                    try:
                        image = future.result()
                    except RejectionError as error:
                        self.bad[self.source.name(index)] = error.cause
                        continue
                    yield index, image
            finally:
                for _, future in waiting:
                    future.cancel()

    def _load(self, index: int) -> NDArray[np.uint8]:
        image = self.source.load(index)
        if self.size is None:
            return image
        try:
            return shrink_image(image, *self.size)
        except ShapeError as error:
            raise ShapeError(f"{self.source.path}: {self.source.name(index)}: {error}") from None


def _format_size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[2]}"
