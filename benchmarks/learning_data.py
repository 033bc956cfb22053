"""Make the two 32x32 datasets of docs/training.md: stacked MNIST digits, and crops of photographs.

python -m benchmarks.learning_data mnist FOLDER_OF_IDX_FILES mnist-rgb.h5
python -m benchmarks.learning_data photos FOLDER_OF_PHOTOGRAPHS photos.h5
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.store.writer import create_dataset

COUNT = 20000
SIDE = 32
SEED = 1


def stack_digits(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield three random digits as the channels of one image, padded by 2 pixels."""
    raw = np.fromfile(folder / "train-images-idx3-ubyte", dtype=np.uint8)[16:].reshape(-1, 28, 28)
    digits = np.pad(raw, ((0, 0), (2, 2), (2, 2)))
    rng = np.random.default_rng(SEED)
    for _ in range(COUNT):
        yield digits[rng.integers(len(digits), size=3)].transpose(1, 2, 0)


def crop_photographs(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield square crops of 96 to 288 pixels of half-size photographs, averaged down to 32x32."""
    photographs = []
    for path in sorted(folder.rglob("*.jpg")):
        full = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        # Half size removes the photographs' own JPEG and demosaicing artifacts.
        photographs.append(cv2.resize(full, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    rng = np.random.default_rng(SEED)
    for _ in range(COUNT):
        photograph = photographs[rng.integers(len(photographs))]
        side = int(rng.integers(96, 289))
        top, left = (int(rng.integers(length - side + 1)) for length in photograph.shape[:2])
        crop = photograph[top : top + side, left : left + side]
        yield cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Write the dataset that the arguments name."""
    kind, folder, out = sys.argv[1:4]
    images = stack_digits(Path(folder)) if kind == "mnist" else crop_photographs(Path(folder))
    with create_dataset(Path(out), height=SIDE, width=SIDE) as writer:
        for image in images:
            writer.append(np.ascontiguousarray(image))


if __name__ == "__main__":
    main()
