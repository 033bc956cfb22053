"""Loader images per second at every level of a dataset, to set beside the step's.

python -m benchmarks.bench_loader data.h5 --uncached
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from pggan_core import loader as loader_module
from pggan_core.data import open_source
from pggan_core.loader import Loader, Request


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--uncached", action="store_true", help="read every image anew, as for levels above 256 MB")
    options = parser.parse_args()
    if options.uncached:
        loader_module.CACHE_BYTES = 0
    source = open_source(options.data)
    _, height, _ = source.shape
    print("| level | img/s |\n|---|---|")
    while height >= 4:
        with Loader(
            options.data,
            source,
            seed=0,
            mirror=True,
            workers=options.workers,
            plan=lambda last: Request(last.cursor + last.count, last.count, last.height),
        ) as loader:
            loader.take(Request(0, options.batch, height))  # Reads what is kept, starts the workers.
            start = time.perf_counter()
            for number in range(1, options.batches + 1):
                loader.take(Request(number * options.batch, options.batch, height))
            rate = options.batches * options.batch / (time.perf_counter() - start)
        print(f"| {height} px | {rate:.0f} |")
        height //= 2


if __name__ == "__main__":
    main()
