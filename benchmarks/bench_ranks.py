"""Images per second of one and two processes on a machine with two cores.

    python -m benchmarks.bench_ranks --resolution 32 --fmap-base 1024 --steps 12

Three ways to use the cores train the same minibatch of 16 at one resolution: one process with one thread, one with two,
two processes with one thread each (gloo). What the machine itself gives is measured beside them: two trainings at once
that know nothing of each other; no way to train on two cores can do better than their sum. All processes are started
first; then each way runs in turn, round after round, so that whatever else the machine does hits all alike. Median of
the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

BATCH = 16
# Processes that train together, threads of each, and how many such trainings run at once.
WAYS = {
    "1 process, 1 thread": (1, 1, 1),
    "1 process, 2 threads": (1, 2, 1),
    "2 processes, 1 thread each": (2, 1, 1),
    "2 trainings at once, 1 thread each": (1, 1, 2),
}


def serve(options: argparse.Namespace) -> None:
    """Answer every line on stdin with the seconds that the steps took."""
    import copy

    import torch

    from pggan_core.config import TrainConfig
    from pggan_core.distributed import SOLO, Ranks, join_ranks
    from pggan_core.networks import Discriminator, Generator
    from pggan_core.schedule import SchedulePoint
    from pggan_core.step import Stepper

    torch.set_num_threads(options.threads)

    def work(ranks: Ranks) -> None:
        config = TrainConfig(fmap_base=options.fmap_base, grow=False)
        level = (options.resolution // 4).bit_length() - 1
        shape = config.network(levels=level, base_height=4, base_width=4, channels=3, labels=0)
        torch.manual_seed(0)
        generator, discriminator = Generator(shape), Discriminator(shape)
        stepper = Stepper(
            config,
            generator,
            discriminator,
            copy.deepcopy(generator).requires_grad_(False),
            device=torch.device("cpu"),
            rng=torch.Generator().manual_seed(0),
            ranks=ranks,
        )
        share = ranks.share(BATCH)
        side = options.resolution
        reals = torch.randn(share.stop - share.start, 3, side, side).clamp(-1, 1)
        point = SchedulePoint(level, side, 1.0, 0.0, 0, False, BATCH, config.lr)
        exchange = 0.0
        for line in sys.stdin:
            started = time.perf_counter()
            for _ in range(int(line)):
                stepper.run(lambda: (reals, None), point)
            seconds = time.perf_counter() - started
            started = time.perf_counter()
            for network in (generator, discriminator) if ranks.count > 1 else ():
                ranks.add_in_place([torch.zeros_like(p) for p in network.parameters()])
            exchange = time.perf_counter() - started
            print("DONE " + json.dumps([seconds, exchange]), flush=True)

    if options.count == 1:
        work(SOLO)
    else:
        with join_ranks(options.meet, options.rank, options.count) as ranks:
            work(ranks)


def start(
    options: argparse.Namespace, count: int, threads: int, trainings: int, folder: str
) -> list[subprocess.Popen[str]]:
    """Start the processes of one way."""
    command = [sys.executable, "-m", "benchmarks.bench_ranks", "--worker", "--resolution", str(options.resolution)]
    command += ["--fmap-base", str(options.fmap_base), "--count", str(count), "--threads", str(threads)]
    command += ["--meet", f"file://{folder}/meet"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return [
        subprocess.Popen(
            [*command, "--rank", str(rank)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(trainings)
        for rank in range(count)
    ]


def ask(workers: list[subprocess.Popen[str]], steps: int) -> list[float]:
    """Have the processes of one way take steps together; return the slowest one's seconds."""
    for worker in workers:
        worker.stdin.write(f"{steps}\n")
        worker.stdin.flush()
    answers = []
    for worker in workers:
        line = next(line for line in worker.stdout if line.startswith("DONE "))
        answers.append(json.loads(line.removeprefix("DONE ")))
    return max(answers)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--fmap-base", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=4, help="steps a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--meet", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        ways = {name: start(options, *way, folder) for name, way in WAYS.items()}
        results: dict[str, list[list[float]]] = {name: [] for name in ways}
        for number in range(options.rounds + 1):
            for name, workers in ways.items():
                answer = ask(workers, options.steps if number else 1)
                if number:
                    results[name].append(answer)
        for workers in ways.values():
            for worker in workers:
                worker.stdin.close()
            for worker in workers:
                worker.wait()
    print(f"{options.resolution} px, fmap_base {options.fmap_base}, minibatch {BATCH}, {options.rounds} rounds")
    print("| way | img/s | against the first | exchange of gradients, share of a step |\n|---|---|---|---|")
    base = 0.0
    for name, answers in results.items():
        step = median(seconds for seconds, _ in answers) / options.steps / WAYS[name][2]
        base = base or step
        exchange = median(seconds for _, seconds in answers) / step if WAYS[name][0] > 1 else 0.0
        print(f"| {name} | {BATCH / step:.1f} | {base / step:.2f}x | {exchange:.0%} |")


if __name__ == "__main__":
    main()
