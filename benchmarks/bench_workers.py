"""One worker, two, and two of a Dask cluster, on one set of photographs: `python -m benchmarks.bench_workers PHOTOS`.

Cuts a set out of the photographs in folder PHOTOS as `benchmarks.scale_builds` does, and builds it with the installed
`celebahq build`, nets off, in turn by `--workers 1`, `--workers 2`, and `--backend dask` on a real scheduler with two
worker processes on loopback, which stay up between builds as a cluster's do. Medians of the rounds; the ratios are
those of the same round, with their median and range.

What is told apart, from the clock and the journal of each build:

* start-up: from the command to the first photograph recorded: imports, source, worker processes or connection;
* a photograph: wall time from the tenth part of the photographs to the last one, divided by their number;
* busy: seconds that a worker spent on a photograph, by its own clock; it grows when two share caches and memory;
* coordinator and scheduler: processor time a photograph of the `celebahq` process alone, and of Dask's scheduler;
* last step: from the last photograph to the end of the command;
* whole: the command.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

from benchmarks.scale_builds import CELEBAHQ, make_set, open_photos
from celebahq_tools.store.journal import Journal

WORKERS = 2
# Photographs in the first part of a build, which is not counted: workers that start late, caches that are cold.
WARM = 0.1


@dataclass(frozen=True)
class Figures:
    """What one build took; the first, fifth and sixth in seconds, the others in milliseconds a photograph."""

    startup: float
    photograph: float
    busy: float
    coordinator: float
    scheduler: float
    last_step: float
    whole: float


HEADINGS = (
    "start-up, s",
    "a photograph, ms",
    "busy, ms",
    "coordinator, ms",
    "scheduler, ms",
    "last step, s",
    "whole, s",
)


@contextmanager
def start_cluster(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a scheduler and its workers on loopback; yields its address and its process number."""
    from distributed import Client

    address_file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    place = ["--scheduler-file", str(address_file), "--host", "127.0.0.1", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    processes = [subprocess.Popen([*dask, "scheduler", "--port", "0", *place], **quiet)]
    try:
        while not address_file.is_file():
            time.sleep(0.1)
        worker = [*dask, "worker", "--nworkers", str(WORKERS), "--nthreads", "1", *place]
        processes.append(subprocess.Popen(worker, **quiet))
        with Client(scheduler_file=str(address_file)) as client:
            client.wait_for_workers(WORKERS, timeout=60)
            address = client.scheduler.address
        yield address, processes[0].pid
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def read_processor_time(pid: int) -> float:
    """Return the processor seconds of one process without its children, 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_build(source: Path, options: list[str], scheduler: int | None) -> tuple[Figures, dict[str, float]]:
    """Build a set once; returns the figures, and the mean milliseconds of every stage in the workers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [str(CELEBAHQ), "build", "--in", str(source), "--out", str(folder / "x.h5")]
        command += ["--work", str(folder / "work"), *options]
        scheduled = read_processor_time(scheduler) if scheduler else 0.0
        began, ticked = time.time(), time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        coordinator = 0.0
        while process.poll() is None:
            coordinator = max(coordinator, read_processor_time(process.pid))
            time.sleep(0.05)
        whole = time.monotonic() - ticked
        if process.returncode:
            raise SystemExit(f"the build failed: {' '.join(command)}")
        scheduled = (read_processor_time(scheduler) if scheduler else 0.0) - scheduled
        with Journal.open_readonly(folder / "work" / "journal.sqlite") as journal:
            times = journal.finish_times()
            totals = journal.total_seconds()
    count = len(times)
    first = int(WARM * count)
    figures = Figures(
        startup=float(times[0]) - began,
        photograph=float(times[-1] - times[first]) / (count - 1 - first) * 1e3,
        busy=sum(seconds for _, seconds in totals.values()) / count * 1e3,
        coordinator=coordinator / count * 1e3,
        scheduler=scheduled / count * 1e3,
        last_step=began + whole - float(times[-1]),
        whole=whole,
    )
    return figures, {stage: seconds / count * 1e3 for stage, (_, seconds) in totals.items()}


def show_ratio(what: str, above: list[float], below: list[float]) -> str:
    """Return a line with the median ratio of builds of the same rounds, and its range."""
    ratios = [one / other for one, other in zip(above, below, strict=True)]
    return f"{what}: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    opened = open_photos(arguments.photos)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_set(opened, folder / "set", arguments.count)
        opened.clear()
        (folder / "cluster").mkdir()
        with start_cluster(folder / "cluster") as (address, scheduler):
            common = ["--size", str(arguments.size), "--dejpeg", "none", "--sr", "lanczos", "--no-report"]
            sides: dict[str, tuple[list[str], int | None]] = {
                "1 worker": ([*common, "--workers", "1"], None),
                "2 workers": ([*common, "--workers", "2"], None),
                "Dask, 2 workers": ([*common, "--backend", "dask", "--scheduler", address], scheduler),
            }
            # One Dask build that is not counted: the cluster's workers stay up, and import but once in their lives.
            measure_build(folder / "set", *sides["Dask, 2 workers"])
            builds: dict[str, list[tuple[Figures, dict[str, float]]]] = {side: [] for side in sides}
            for _ in range(arguments.rounds):
                for side, (options, pid) in sides.items():
                    builds[side].append(measure_build(folder / "set", options, pid))
                    print(side, builds[side][-1], file=sys.stderr, flush=True)
    print("| | " + " | ".join(HEADINGS) + " |\n|" + "---|" * (len(HEADINGS) + 1))
    for side, made in builds.items():
        columns = zip(*(astuple(figures) for figures, _ in made), strict=True)
        print(f"| {side} | " + " | ".join(f"{median(column):.1f}" for column in columns) + " |")
    for side, made in builds.items():
        stages = {stage: median(each[stage] for _, each in made) for stage in made[0][1]}
        print(f"{side}, ms by stage: " + ", ".join(f"{stage} {value:.1f}" for stage, value in stages.items()))
    one, two, dask = ([figures for figures, _ in builds[side]] for side in sides)
    for what in ("photograph", "whole"):
        times = [[getattr(figures, what) for figures in made] for made in (one, two, dask)]
        print(show_ratio(f"{what}: two workers, times as fast as one", times[0], times[1]))
        print(show_ratio(f"{what}: Dask, times as long as loky", times[2], times[1]))


if __name__ == "__main__":
    main()
