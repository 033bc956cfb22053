"""Nearest training images of generated ones, as in Figure 10, by any features, in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from celebahq_tools.errors import ConfigError
from celebahq_tools.pictures.canvas import ACCENT, BACKGROUND, fit_picture, write_caption

Describe = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Features (N, D) float32 of pixels (N, C, H, W) uint8."""

_PIXEL_SIDE = 32
_MARGIN, _CAPTION = 6, 20


@dataclass(frozen=True)
class Crop:
    """The part of an image that is compared, in shares of its sides.

    Attributes:
        left, top, right, bottom: From 0 to 1.
    """

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ConfigError(
                f"crop {self.left},{self.top},{self.right},{self.bottom}: "
                "give left,top,right,bottom as shares of the sides, 0 to 1"
            )

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (left, top, right, bottom) in whole pixels, at least one each way."""
        left, top = int(self.left * width), int(self.top * height)
        return left, top, max(left + 1, round(self.right * width)), max(top + 1, round(self.bottom * height))

    def cut(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the part of images (N, C, H, W)."""
        left, top, right, bottom = self.box(*images.shape[2:])
        return np.ascontiguousarray(images[:, :, top:bottom, left:right])


# The paper's Figure 10 shows a crop and gives no numbers. The alignment puts the eyes at about 0.47 of the height and
# 0.12 to the left and right of the middle, the mouth at about 0.72: half the side, from the eyebrows to the chin.
FACE_CROP = Crop(0.25, 0.3125, 0.75, 0.8125)


@dataclass(frozen=True)
class Neighbor:
    """A training image near a query.

    Attributes:
        index: In the dataset.
        distance: Euclidean, between features.
        mirrored: Whether it is the mirror image that is near.
    """

    index: int
    distance: float
    mirrored: bool


def describe_pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pixels averaged down to at most 32x32 as features, such that distances are RMS grey levels.

    Args:
        images: (N, C, H, W) uint8.
    Returns:
        (N, D) float32.
    """
    height, width = images.shape[2:]
    scale = min(1.0, _PIXEL_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = [
        cv2.resize(image.transpose(1, 2, 0).astype(np.float32), size, interpolation=cv2.INTER_AREA).ravel()
        for image in images
    ]
    return np.asarray(np.stack(small) / np.sqrt(small[0].size), dtype=np.float32)


def find_neighbors(
    queries: NDArray[np.uint8],
    batches: Iterable[NDArray[np.uint8]],
    describe: Describe,
    *,
    count: int,
    crop: Crop = FACE_CROP,
    mirror: bool = False,
) -> list[list[Neighbor]]:
    """Return the nearest training images of each query, nearest first; of equally near ones the first in the dataset.

    Args:
        queries: (Q, C, H, W) uint8.
        batches: The dataset in order, (n, C, H, W) uint8 of the queries' size. Read once; only one batch is held.
        describe: Features of crops.
        count: Neighbours of each query.
        crop: What is compared.
        mirror: Also compare with the mirror image of every training image, which the network may have been shown.
    Returns:
        Q lists of at most ``count``.
    """
    wanted = describe(crop.cut(queries)).astype(np.float64)
    # One row per query: distance, index, mirrored.
    best = [np.empty((0, 3)) for _ in queries]
    first = 0
    for batch in batches:
        # Mirrored before the crop: the crop need not be symmetric.
        forms = [describe(crop.cut(form)) for form in ([batch, batch[..., ::-1]] if mirror else [batch])]
        indices = np.arange(first, first + len(batch))
        for query, features in enumerate(wanted):
            # Differences, not inner products: only they give exactly 0 for the same image.
            distances = np.stack([np.linalg.norm(form - features, axis=1) for form in forms])
            nearer = distances.argmin(axis=0)
            rows = np.stack([distances.min(axis=0), indices, nearer], axis=1)
            merged = np.concatenate([best[query], rows])
            best[query] = merged[np.argsort(merged[:, 0], kind="stable")[:count]]
        first += len(batch)
    return [[Neighbor(int(i), float(d), bool(m)) for d, i, m in rows] for rows in best]


def draw_neighbors(
    queries: NDArray[np.uint8],
    found: Sequence[Sequence[tuple[Neighbor, NDArray[np.uint8]]]],
    *,
    crop: Crop,
    title: str,
    thumb: int = 160,
) -> Image.Image:
    """Return a picture in the form of Figure 10: queries on top, their neighbours below, nearest first.

    Args:
        queries: (Q, C, H, W) uint8.
        found: Of each query, neighbours with their images (C, H, W), as the dataset has them.
        crop: Drawn on the last image, bottom right, as in the paper.
        title: What was compared, printed below.
        thumb: Side of an image in the picture.
    """
    rows = 1 + max(map(len, found))
    width = max(len(queries) * (thumb + _MARGIN) + _MARGIN, 480)
    picture = Image.new("RGB", (width, rows * (thumb + _MARGIN + _CAPTION) + 2 * _MARGIN + _CAPTION), BACKGROUND)

    def paste(image: NDArray[np.uint8], row: int, column: int, caption: str, *, outlined: bool = False) -> None:
        left, top = _MARGIN + column * (thumb + _MARGIN), _MARGIN + row * (thumb + _MARGIN + _CAPTION)
        pixels = np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0))
        shown = fit_picture(pixels, thumb, thumb)
        if outlined:
            ImageDraw.Draw(shown).rectangle(crop.box(shown.height - 1, shown.width - 1), outline=ACCENT, width=2)
        picture.paste(shown, (left, top))
        write_caption(picture, (left, top + thumb + 2), caption, size=12)

    for column, (query, neighbors) in enumerate(zip(queries, found, strict=True)):
        paste(query, 0, column, f"query {column}")
        for row, (neighbor, image) in enumerate(neighbors, start=1):
            mark = " mirrored" if neighbor.mirrored else ""
            last = column == len(queries) - 1 and row == len(neighbors)
            shown = image[..., ::-1] if neighbor.mirrored else image
            paste(shown, row, column, f"{neighbor.distance:.3g}  #{neighbor.index}{mark}", outlined=last)
    write_caption(picture, (_MARGIN, picture.height - _CAPTION - _MARGIN), title, size=13)
    return picture
