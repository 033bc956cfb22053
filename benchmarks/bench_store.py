"""Writing and reading the dataset against plain h5py: `python -m benchmarks.bench_store [FOLDER]`.

FOLDER holds real photographs of at least 1024 pixels a side (JPEG or PNG). Without one, the photographs that
scikit-image carries are enlarged: smooth pictures, which compress better than a camera's.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import h5py
import numpy as np
import skimage.data
from PIL import Image

from celebahq_tools.store.encoding import encode_face
from celebahq_tools.store.layout import choose_chunk, compute_mips, name_level
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.store.writer import create_dataset

SIDE = 1024
IMAGES = 24
# As many as CelebA-HQ, at a side at which the disk holds them: what finding an image costs shows in a long file only.
LONG_IMAGES, LONG_SIDE = 30_000, 128
ROUNDS = 5
BATCH = 8


def load_photographs(folder: Path | None) -> list[np.ndarray]:
    """Return real photographs, (1024, 1024, 3) uint8, cut from the middle."""
    if folder is None:
        pictures = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
        images = [Image.fromarray(picture) for picture in pictures]
    else:
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        opened = (Image.open(path) for path in paths)
        images = [i for i in opened if min(i.size) >= SIDE and i.mode == "RGB"][:IMAGES]
    return [np.asarray(_cut(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for image in images]


def _cut(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def write_plain(path: Path, faces: list[np.ndarray]) -> None:
    """Write the same levels with h5py's own gzip 4, one thread: what the original did."""
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        for index, face in enumerate(faces):
            for mip in compute_mips(face):
                name = name_level(*mip.shape[1:])
                if name not in file:
                    file.create_dataset(
                        name,
                        shape=(0, *mip.shape),
                        maxshape=(None, *mip.shape),
                        dtype=np.uint8,
                        chunks=choose_chunk(*mip.shape),
                        compression="gzip",
                        compression_opts=4,
                    )
                file[name].resize(index + 1, axis=0)
                file[name][index] = mip


def write_ours(path: Path, faces: list[np.ndarray]) -> None:
    """Write with our writer, a thread per core."""
    with create_dataset(path, height=SIDE, width=SIDE) as writer:
        writer.extend(faces)


def write_long(path: Path, faces: list[np.ndarray]) -> None:
    """Write a file of :data:`LONG_IMAGES`, small copies of the photographs over and over."""
    size = (LONG_SIDE, LONG_SIDE)
    small = [encode_face(np.asarray(Image.fromarray(face).resize(size, Image.Resampling.BOX))) for face in faces]
    with create_dataset(path, height=LONG_SIDE, width=LONG_SIDE) as writer:
        for index in range(LONG_IMAGES):
            writer.append_encoded(small[index % len(small)])


def read_plain(path: Path, batches: np.ndarray) -> None:
    """Read random batches of full-size images with h5py."""
    with h5py.File(path, "r") as file:
        for batch in batches:
            file[f"data{SIDE}x{SIDE}"][batch]


def read_plain_singly(path: Path, batches: np.ndarray, side: int = SIDE) -> None:
    """Read the same batches with h5py's quickest way: one image after the other."""
    with h5py.File(path, "r") as file:
        for batch in batches:
            np.stack([file[f"data{side}x{side}"][index] for index in batch])


def read_ours(path: Path, batches: np.ndarray) -> None:
    """Read random batches of full-size images with our reader."""
    with DatasetReader(path) as reader:
        for batch in batches:
            reader.read(batch)


def compare(name: str, plain: Callable[[], None], ours: Callable[[], None], images: int) -> None:
    """Print wall milliseconds an image of both, measured in turn, and the median of their ratios."""
    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        pair = []
        for work in (plain, ours):
            start = time.perf_counter()
            work()
            pair.append((time.perf_counter() - start) / images * 1e3)
        times.append((pair[0], pair[1]))
    ratio = median(a / b for a, b in times)
    print(
        f"| {name} | {median(a for a, _ in times):.2f} | {median(b for _, b in times):.2f} | "
        f"{ratio:.1f} ({min(a / b for a, b in times):.1f} to {max(a / b for a, b in times):.1f}) |",
        flush=True,
    )


def main() -> None:
    """Print the table of docs: writing, reading, sizes."""
    faces = load_photographs(Path(sys.argv[1]) if sys.argv[1:] else None)
    faces = (faces * (IMAGES // len(faces) + 1))[:IMAGES]
    cores = len(os.sched_getaffinity(0))
    print(f"{len(faces)} photographs of {SIDE}x{SIDE}, {cores} cores, median of {ROUNDS} rounds, both sides in turn\n")
    print("| | h5py gzip 4, ms an image | ours, ms an image | times faster (range) |\n|---|---|---|---|")
    # Batches without repeats, in increasing order: all that h5py takes.
    rng = np.random.default_rng(0)
    batches = np.stack([np.sort(rng.choice(len(faces), BATCH, replace=False)) for _ in range(4)])
    with tempfile.TemporaryDirectory() as folder:
        plain, ours = Path(folder) / "plain.h5", Path(folder) / "ours.h5"
        compare("writing", lambda: write_plain(plain, faces), lambda: write_ours(ours, faces), len(faces))
        with h5py.File(plain) as theirs, h5py.File(ours) as mine:
            if not all(np.array_equal(theirs[name][:], mine[name][:]) for name in theirs):
                sys.exit("both files must hold the same pixels; what follows would compare nothing")
        name = f"random batches of {BATCH}, h5py"
        compare(f"{name} by a list of indices", lambda: read_plain(ours, batches), lambda: read_ours(ours, batches), 32)
        compare(
            f"{name} one image at a time",
            lambda: read_plain_singly(ours, batches),
            lambda: read_ours(ours, batches),
            32,
        )
        single = rng.integers(len(faces), size=(32, 1))
        compare("random single images", lambda: read_plain(ours, single), lambda: read_ours(ours, single), 32)
        longer = Path(folder) / "long.h5"
        write_long(longer, faces)
        single = rng.integers(LONG_IMAGES, size=(512, 1))
        compare(
            f"random single images of {LONG_IMAGES} at {LONG_SIDE}x{LONG_SIDE}",
            lambda: read_plain_singly(longer, single, LONG_SIDE),
            lambda: read_ours(longer, single),
            len(single),
        )
        sizes = [path.stat().st_size / len(faces) / 1e6 for path in (plain, ours)]
        print(f"\nsize: {sizes[0]:.3f} MB an image with gzip 4, {sizes[1]:.3f} ours, {sizes[1] / sizes[0] - 1:+.1%}")


if __name__ == "__main__":
    main()
