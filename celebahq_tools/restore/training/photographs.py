"""Clean photographs to cut patches from: any folder's, reduced until their own artifacts are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.source.decoding import decode_any
from celebahq_tools.source.photo import read_photo_file
from celebahq_tools.types import Pixels

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")

# One octave below the first: a photograph that is soft at half its size has fine detail at a third and a fifth.
_REDUCTIONS = (1.0, 1.6, 2.6)
_LARGEST_SIDE = 2200


@dataclass(frozen=True)
class Photograph:
    """One photograph at several sizes.

    Attributes:
        path: The file.
        sizes: RGB, uint8, shape (H, W, 3), largest first.
    """

    path: Path
    sizes: tuple[Pixels, ...]


def list_photographs(folders: Iterable[Path]) -> list[Path]:
    """Return the picture files below folders (or the files themselves), sorted, each once.

    Raises:
        InputError: If a folder does not exist.
    """
    found: set[Path] = set()
    for folder in folders:
        if folder.is_file():
            found.add(folder)
        elif folder.is_dir():
            found.update(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        else:
            raise InputError(f"{folder}: no such folder of photographs")
    return sorted(found)


def load_photographs(
    paths: Iterable[Path], *, downscale: float, min_side: int, say: Callable[[str], None] = lambda _: None
) -> list[Photograph]:
    """Return photographs reduced by area averaging; files that cannot be used are passed over with a reason.

    Args:
        paths: Picture files.
        downscale: The least reduction. Files larger than about twice 2200 pixels are reduced more.
        min_side: Least length of the reduced shorter side.
        say: Told about every file passed over.
    """
    photographs = []
    for path in paths:
        try:
            photographs.append(_load(path, downscale, min_side))
        except RejectionError as error:
            say(f"passed over {path}: {error.cause}")
    return photographs


def _load(path: Path, downscale: float, min_side: int) -> Photograph:
    pixels = decode_any(read_photo_file(path)[0])
    image = Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    sizes: list[Pixels] = []
    first = max(downscale, max(image.size) / _LARGEST_SIDE)
    for reduction in _REDUCTIONS:
        size = tuple(int(side / (first * reduction)) for side in image.size)
        if min(size) < min_side:
            break
        reduced = image if size == image.size else image.resize((size[0], size[1]), Image.Resampling.BOX)
        sizes.append(np.asarray(reduced))
    if not sizes:
        detail = f"{image.size[0]}x{image.size[1]} reduced {first:g} times is below {min_side} pixels"
        raise RejectionError("training", "small", detail)
    return Photograph(path, tuple(sizes))


class PatchSampler:
    """Draws patches from photographs, the same ones for the same random numbers.

    A photograph is drawn in proportion to the root of its area, so that large ones neither drown small ones nor are
    drowned by many of them, and all places in it are equal. (Preferring detailed places, and small photographs as
    often as large ones, slowed training down many times: most of what JPEG did there cannot be known.)

    Args:
        photographs: Where from; those with no size large enough for a patch are left out when it is drawn.
    """

    def __init__(self, photographs: list[Photograph]) -> None:
        self.photographs = photographs

    def draw(self, rng: np.random.Generator, side: int) -> Pixels:
        """Return one patch, flipped and turned at random.

        Args:
            rng: Decides everything.
            side: Height and width in pixels.
        Raises:
            InputError: If no photograph is large enough.
        """
        large = [sizes for photo in self.photographs if (sizes := _at_least(photo, side))]
        if not large:
            raise InputError(f"no photograph is large enough for patches of {side} pixels; choose a smaller --patch")
        weights = np.sqrt([sizes[0].shape[0] * sizes[0].shape[1] for sizes in large])
        sizes = large[int(rng.choice(len(large), p=weights / weights.sum()))]
        image = sizes[int(rng.integers(len(sizes)))]
        top, left = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
        turned = np.rot90(image[top : top + side, left : left + side], int(rng.integers(4)))
        return np.ascontiguousarray(turned[:, ::-1] if rng.integers(2) else turned)


def _at_least(photo: Photograph, side: int) -> list[Pixels]:
    return [image for image in photo.sizes if min(image.shape[:2]) >= side]
