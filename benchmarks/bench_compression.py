"""Size, writing and random reading of each compression: ``python -m benchmarks.bench_compression [FOLDER]``.

FOLDER holds real photographs of at least 1024 pixels a side; without one, photographs that scikit-image carries are
enlarged. Rates are of one process on 1024x1024 images with all their levels; medians of rounds in which the
compressions take turns. Reads are of single images in random order, file in the page cache, by our reader and by h5py.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

import h5py
import hdf5plugin  # noqa: F401 - registers blosc for the plain h5py reads
import numpy as np

from benchmarks.bench_store import SIDE, load_photographs
from celebahq_tools.store.compression import COMPRESSIONS
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.store.writer import create_dataset

IMAGES = 8
ROUNDS = 5


def write(path: Path, images: list[np.ndarray], compression: str) -> None:
    """Write the images with all their levels."""
    with create_dataset(path, height=SIDE, width=SIDE, compression=compression) as writer:
        writer.extend(images)


def read_ours(path: Path, order: np.ndarray) -> None:
    """Read single images of the largest level with our reader."""
    with DatasetReader(path) as reader:
        for index in order:
            reader.read(int(index))


def read_plain(path: Path, order: np.ndarray) -> None:
    """Read single images of the largest level with h5py alone."""
    with h5py.File(path, "r") as file:
        for index in order:
            file[f"data{SIDE}x{SIDE}"][int(index)]


def measure(function: Callable[..., None], *arguments: object) -> float:
    """Return images a second."""
    start = time.perf_counter()
    function(*arguments)
    return IMAGES / (time.perf_counter() - start)


def main() -> None:
    """Print one line per compression."""
    photographs = load_photographs(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    images = [photographs[index % len(photographs)] for index in range(IMAGES)]
    rng = np.random.default_rng(0)
    rates: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for compression in COMPRESSIONS:
                path = Path(folder, f"{compression}.h5")
                rates[compression]["write"].append(measure(write, path, images, compression))
                order = rng.permutation(IMAGES)
                rates[compression]["read"].append(measure(read_ours, path, order))
                rates[compression]["h5py"].append(measure(read_plain, path, order))
                sizes[compression] = path.stat().st_size / IMAGES / 2**20
    print(f"{'':8} {'MiB/image':>10} {'write/s':>8} {'read/s':>8} {'h5py read/s':>12}")
    for compression in COMPRESSIONS:
        written, ours, plain = (median(rates[compression][what]) for what in ("write", "read", "h5py"))
        print(f"{compression:8} {sizes[compression]:10.2f} {written:8.1f} {ours:8.1f} {plain:12.1f}")


if __name__ == "__main__":
    main()
