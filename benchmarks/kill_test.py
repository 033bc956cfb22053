"""Builds killed at random moments and resumed: `python -m benchmarks.kill_test [--trials 50] [--seed 0]`.

Every trial starts the installed `celebahq build` on real photographs, kills it with SIGKILL at a random moment (the
coordinator alone, or all its processes as a power cut would), starts the same command again, kills that one in two of
three trials as well, and lets the last one finish. Dataset and manifest must equal those of an undisturbed build byte
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
KEEP = 8
OPTIONS = ("--size", "64", "--dejpeg", "none", "--sr", "lanczos", "--workers", "2", "--keep", str(KEEP))


def start_build(photos: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start a build in a session of its own, its work folder kept."""
    command = [CELEBAHQ, "build", "--in", photos, "--out", folder / "x.h5", "--work", folder / "work", *OPTIONS]
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


def read_times(folder: Path) -> dict[int, float]:
    """Return when each photograph was recorded, from the journal; empty if there is none yet."""
    path = folder / "work" / "journal.sqlite"
    if not path.is_file():
        return {}
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return dict(database.execute("SELECT idx, finished FROM items"))
    except sqlite3.OperationalError:
        return {}  # killed before the first table
    finally:
        database.close()


def run_trial(photos: Path, folder: Path, rng: random.Random, longest: float, expected: list[bytes]) -> tuple[int, str]:
    """Return how many kills hit a running build, and what is wrong at the end (empty if nothing is)."""
    hits = 0
    before: dict[int, float] = {}
    for _ in range(rng.choice((1, 2, 3))):
        process = start_build(photos, folder)
        time.sleep(rng.uniform(0, longest))
        hits += kill_build(process, everything=rng.random() < 0.5)
        if (folder / "x.h5").exists():
            break
        before.update(read_times(folder))
    if not (folder / "x.h5").exists():
        process = start_build(photos, folder)
        _, errors = process.communicate()
        if process.returncode:
            return hits, errors.decode()[-500:]
    found = [(folder / name).read_bytes() for name in ("x.h5", "x.manifest.csv")]
    if found != expected:
        return hits, "the files differ from those of an undisturbed build"
    after = read_times(folder)
    again = [index for index, moment in before.items() if after.get(index) != moment]
    # A face that was deleted as one of the worst may be asked for again; here the choice never takes one back.
    return hits, f"worked on again: {again}" if again else ""


def main() -> int:
    """Run the trials; print a line for each that failed, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    failures = hits = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_sample_folder(root / "photos")
        (root / "whole").mkdir()
        started = time.monotonic()
        process = start_build(root / "photos", root / "whole")
        _, errors = process.communicate()
        if process.returncode:
            print(errors.decode(), file=sys.stderr)
            return 1
        longest = time.monotonic() - started
        expected = [(root / "whole" / file).read_bytes() for file in ("x.h5", "x.manifest.csv")]
        for number in range(arguments.trials):
            folder = root / f"trial{number}"
            folder.mkdir()
            count, problem = run_trial(root / "photos", folder, rng, longest, expected)
            hits += count
            if problem:
                failures += 1
                print(f"trial {number}: {problem}", flush=True)
    print(
        f"{arguments.trials - failures} of {arguments.trials} builds end byte-identical after {hits} kills of "
        f"running builds (one takes {longest:.1f} s)"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
