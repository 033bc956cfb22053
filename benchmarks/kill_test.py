"""Builds killed at random moments and resumed: `python -m benchmarks.kill_test [--trials 50] [--seed 0] [--size 64]`.

Every trial starts the installed `celebahq build` on real photographs, kills it with SIGKILL at a random moment (the
coordinator alone, or all its processes as a power cut would), starts the same command again, kills that one in two of
three trials as well, and lets the last one finish. Every second trial keeps the best eight faces in a work folder that
it names; the others keep all, with the folder that a build makes for itself and empties as faces come into the dataset,
and are mostly killed late, while that is written. Dataset and manifest must equal those of an undisturbed build byte
for byte, and no photograph that was finished before a kill may be worked on again. Exit code 1 if any differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from celebahq_tools.source.samples import write_sample_folder

CELEBAHQ = Path(sys.executable).with_name("celebahq")
OPTIONS = ("--dejpeg", "none", "--sr", "lanczos", "--workers", "2")
FOLDERS = {"named": "work", "own": "x.h5.work"}


def start_build(photos: Path, folder: Path, kind: str, size: int) -> subprocess.Popen[bytes]:
    """Start a build in a session of its own; its work folder is ``named`` and stays, or its ``own``."""
    work = ("--work", folder / FOLDERS[kind], "--keep", 8) if kind == "named" else ()
    command = [CELEBAHQ, "build", "--in", photos, "--out", folder / "x.h5", *work, "--size", size, *OPTIONS]
    return subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill_build(process: subprocess.Popen[bytes], *, everything: bool) -> bool:
    """Kill a build, or only its coordinator; returns whether it was still running."""
    running = process.poll() is None
    if everything:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            running = False
    else:
        process.kill()
    process.wait()
    return running


def read_times(work: Path) -> dict[int, float]:
    """Return when each photograph was recorded, from the journal; empty if there is none, or no more."""
    path = work / "journal.sqlite"
    if not path.is_file():
        return {}
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return dict(database.execute("SELECT idx, finished FROM items"))
    except sqlite3.OperationalError:
        return {}  # killed before the first table
    finally:
        database.close()


def run_trial(
    photos: Path, folder: Path, kind: str, size: int, rng: random.Random, longest: float, expected: list[bytes]
) -> tuple[int, str]:
    """Return how many kills hit a running build, and what is wrong at the end (empty if nothing is)."""
    hits = 0
    before: dict[int, float] = {}
    again: set[int] = set()

    def compare() -> None:
        # A face that was deleted as one of the worst may be asked for again; here the choice never takes one back.
        now = read_times(folder / FOLDERS[kind])
        again.update(index for index, moment in now.items() if before.get(index, moment) != moment)
        before.update(now)

    for _ in range(rng.choice((1, 2, 3))):
        process = start_build(photos, folder, kind, size)
        late = kind == "own" and rng.random() < 0.7
        time.sleep(rng.uniform(0.6 * longest if late else 0, longest))
        hits += kill_build(process, everything=rng.random() < 0.5)
        if (folder / "x.h5").exists():
            break
        compare()
    if not (folder / "x.h5").exists():
        process = start_build(photos, folder, kind, size)
        _, errors = process.communicate()
        if process.returncode:
            return hits, errors.decode()[-500:]
    if read_files(folder) != expected:
        return hits, "the files differ from those of an undisturbed build"
    compare()
    return hits, f"worked on again: {sorted(again)}" if again else ""


def read_files(folder: Path) -> list[bytes]:
    """Return the bytes of dataset and manifest."""
    return [(folder / name).read_bytes() for name in ("x.h5", "x.manifest.csv")]


def main() -> int:
    """Run the trials; print a line for each that failed, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=64, help="of the faces; from 512 on they lie in bands")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    failures = hits = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_sample_folder(root / "photos")
        longest, expected = {}, {}
        for kind in FOLDERS:
            folder = root / kind
            folder.mkdir()
            started = time.monotonic()
            process = start_build(root / "photos", folder, kind, arguments.size)
            _, errors = process.communicate()
            if process.returncode:
                print(errors.decode(), file=sys.stderr)
                return 1
            longest[kind], expected[kind] = time.monotonic() - started, read_files(folder)
        for number in range(arguments.trials):
            folder = root / f"trial{number}"
            folder.mkdir()
            kind = list(FOLDERS)[number % 2]
            count, problem = run_trial(
                root / "photos", folder, kind, arguments.size, rng, longest[kind], expected[kind]
            )
            hits += count
            if problem:
                failures += 1
                print(f"trial {number}: {problem}", flush=True)
    print(
        f"{arguments.trials - failures} of {arguments.trials} builds end byte-identical after {hits} kills of "
        f"running builds (one takes {max(longest.values()):.1f} s)"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
