"""Speed and memory of the metrics beside the direct ways, and agreement with independent programs.

    python -m benchmarks.bench_metrics swd            # direct against ours, ours with saved reals; CPU time and peak
    python -m benchmarks.bench_metrics ms-ssim --peers PEERS/bin/python
    python -m benchmarks.bench_metrics fid --peers PEERS/bin/python
    python -m benchmarks.bench_metrics agree --peers PEERS/bin/python
    python -m benchmarks.bench_metrics large          # 1,024 images of 1024x1024 through the whole of SWD

PEERS is an environment with pytorch-msssim, pytorch-fid, torch-fidelity and prdc (see metrics_peers.py). Every
measurement runs in a process of its own; times are CPU times, the sides take turns, and the median counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDES = ("direct", "ours", "ours-floor", "saved", "saved-projections")


def make_images(count: int, side: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield batches of at most 64 smooth random images; timing does not depend on what is on them."""
    import cv2

    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((16, side, side, 3), dtype=np.float32)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 1.2) for image in noise]) * 150 + 128
    originals = np.clip(smooth, 0, 255).astype(np.uint8).transpose(0, 3, 1, 2)
    # Shifted copies are other images at a small part of the cost.
    for start in range(0, count, 64):
        numbers = range(start, min(start + 64, count))
        yield np.stack([np.roll(originals[n % 16], (n // 16, 5 * n), axis=(1, 2)) for n in numbers])


def write_images(folder: Path, count: int, side: int) -> None:
    """Write reals.npy and fakes.npy."""
    for seed, name in enumerate(("reals", "fakes")):
        np.save(folder / f"{name}.npy", np.concatenate(list(make_images(count, side, seed))))


def read_batches(path: Path, batch: int = 64) -> Iterator[NDArray[np.uint8]]:
    """Yield batches of an .npy file without mapping it, so that what was read does not count as memory."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        size = int(np.prod(shape[1:]))
        for start in range(0, shape[0], batch):
            count = min(batch, shape[0] - start)
            yield np.fromfile(file, dtype=np.uint8, count=count * size).reshape(count, *shape[1:])


def measure_swd(side: str, folder: Path, workers: int, memory: int) -> dict[str, Any]:
    """Return CPU and wall seconds, peak memory in MB and the average score of one side."""
    if side == "direct":
        from benchmarks.metrics_direct import sliced_wasserstein

        start = time.process_time(), time.perf_counter()
        values = sliced_wasserstein(np.load(folder / "reals.npy"), np.load(folder / "fakes.npy"))
        average = float(np.mean(values))
    else:
        from celebahq_cli.swd_stats import StatsHeader, load_stats, save_stats
        from gan_metrics.base import MetricSettings
        from gan_metrics.swd import SlicedWasserstein

        settings = MetricSettings(workers=workers, max_memory=memory, floor=side == "ours-floor")
        if side == "save":
            for name in SIDES[3:]:
                maker = SlicedWasserstein(replace(settings, save_projections=name == "saved-projections"))
                for batch in read_batches(folder / "reals.npy"):
                    maker.update_reals(batch)
                save_stats(folder / f"{name}.h5", StatsHeader("reals", 0, (0, 0), settings.seed), [maker])
                maker.close()
            return {}
        start = time.process_time(), time.perf_counter()
        metric = SlicedWasserstein(settings)
        stack = ExitStack()
        if side in SIDES[3:]:
            load_stats(folder / f"{side}.h5", [metric], stack)
        else:
            for batch in read_batches(folder / "reals.npy"):
                metric.update_reals(batch)
        for batch in read_batches(folder / "fakes.npy"):
            metric.update_fakes(batch)
        average = metric.compute().values["SWDx1e3_avg"]
        metric.close()
        stack.close()
    return {
        "cpu": time.process_time() - start[0],
        "wall": time.perf_counter() - start[1],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "average": average,
    }


def measure_in_process(*arguments: object) -> dict[str, Any]:
    """Run one measurement of this file in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_metrics", *map(str, arguments)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(found.splitlines()[-1]))


def run_peer(peers: str, part: str, rounds: int, **arrays: NDArray[Any]) -> dict[str, Any]:
    """Run one part of metrics_peers.py on arrays."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inputs.npz"
        np.savez(path, **arrays)
        script = Path(__file__).with_name("metrics_peers.py")
        command = [peers, str(script), part, str(path), str(rounds)]
        return dict(
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        )


def time_cpu(function: Callable[[], Any], rounds: int) -> tuple[Any, float]:
    """Return the result and the median CPU seconds."""
    result, seconds = None, []
    for _ in range(rounds):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return result, float(np.median(seconds))


def bench_swd(count: int, side: int, rounds: int, workers: int, memory: int) -> None:
    """Print a table of the sides of SWD."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder, count, side)
        measure_in_process("swd-side", "save", folder, workers, memory)
        found: dict[str, list[dict[str, Any]]] = {key: [] for key in SIDES}
        for _ in range(rounds):
            for key in SIDES:
                found[key].append(measure_in_process("swd-side", key, folder, workers, memory))
    print(f"SWD, 2 x {count} images of {side}x{side}, {workers} workers, max memory {memory >> 20} MB, {rounds} rounds")
    direct = {key: float(np.median([run[key] for run in found["direct"]])) for key in ("cpu", "wall", "peak_mb")}
    for key, runs in found.items():
        cpu, wall, peak = (float(np.median([run[what] for run in runs])) for what in ("cpu", "wall", "peak_mb"))
        print(
            f"  {key:17} cpu {cpu:7.1f} s  wall {wall:7.1f} s  peak {peak:6.0f} MB   "
            f"faster x{direct['cpu'] / cpu:5.2f} (cpu) x{direct['wall'] / wall:5.2f} (wall)  "
            f"memory {peak / direct['peak_mb']:.3f}   average {runs[0]['average']:.3f}"
        )


def bench_ms_ssim(peers: str | None, rounds: int) -> None:
    """Print MS-SSIM's speed beside pytorch-msssim and fftconvolve, on one thread."""
    from gan_metrics.ms_ssim import compute_ms_ssim

    from benchmarks.metrics_direct import ms_ssim

    a, b = (np.concatenate(list(make_images(16, 256, seed))) for seed in (0, 1))
    b = ((a.astype(np.float32) * 3 + b) / 4).astype(np.uint8)
    ours, seconds = time_cpu(lambda: [compute_ms_ssim(x, y) for x, y in zip(a, b, strict=True)], rounds)
    direct, direct_seconds = time_cpu(lambda: ms_ssim(a, b), rounds)
    print(f"MS-SSIM, 16 pairs of 256x256, one thread, {rounds} rounds: ours {seconds / 16 * 1e3:.1f} ms a pair")
    gap = np.abs(direct - ours).max()
    print(f"  fftconvolve     {direct_seconds / seconds:6.1f} x our time, largest difference {gap:.1e}")
    if peers:
        other = run_peer(peers, "ms-ssim", rounds, a=a, b=b)
        gap = np.abs(np.array(other["values"]) - ours).max()
        print(f"  pytorch-msssim  {other['seconds'] / seconds:6.1f} x our time, largest difference {gap:.1e}")


def bench_fid(peers: str | None, rounds: int) -> None:
    """Print the speed and agreement of FID's trace beside scipy's sqrtm and pytorch-fid, at 2048 dimensions."""
    from gan_metrics.fid import frechet_distance
    from scipy import linalg

    rng = np.random.default_rng(0)
    decay = np.exp(-np.arange(2048) / 400)
    moments = []
    for _ in range(2):
        mixing = np.linalg.qr(rng.standard_normal((2048, 2048)))[0]
        rows = (rng.standard_normal((5000, 2048)) * decay) @ mixing
        moments += [rng.standard_normal(2048) * 0.02, np.cov(rows.T)]
    ours, seconds = time_cpu(lambda: frechet_distance(*moments), rounds)
    _, direct = time_cpu(lambda: np.trace(linalg.sqrtm(moments[1] @ moments[3])), 1 if rounds == 1 else 3)
    ratio = direct / seconds
    print(f"FID's trace at 2048 dimensions: ours {seconds:.2f} CPU s; scipy.linalg.sqrtm {ratio:.1f} x our time")
    if peers:
        names = dict(zip(("mean_a", "cov_a", "mean_b", "cov_b"), moments, strict=True))
        other = run_peer(peers, "fid", 1, **names)
        gap = abs(other["values"] / ours - 1)
        print(
            f"  pytorch-fid {other['seconds'] / seconds:.1f} x our time; FID {ours:.9f} and {other['values']:.9f}, "
            f"relative {gap:.1e}"
        )


def check_agreement(peers: str) -> None:
    """Print KID and PRDC beside torch-fidelity's and prdc's on the same features."""
    from gan_metrics.kid import polynomial_mmd
    from gan_metrics.prdc import compute_prdc

    rng = np.random.default_rng(0)
    a = np.abs(rng.standard_normal((1000, 2048))).astype(np.float32)
    b = np.abs(rng.standard_normal((1000, 2048)) * rng.uniform(0.8, 1.3, 2048)).astype(np.float32)
    print(
        f"KID   ours {polynomial_mmd(a, b):.12g}  torch-fidelity {run_peer(peers, 'kid', 1, a=a, b=b)['values']:.12g}"
    )
    small_a, small_b = a[:, :8], b[:700, :8]
    theirs = run_peer(peers, "prdc", 1, a=small_a, b=small_b)["values"]
    print(f"PRDC  ours {compute_prdc(small_a, small_b)}\n      prdc {theirs}")


def measure_large(count: int, side: int, workers: int, memory: int) -> dict[str, Any]:
    """Return CPU seconds of the stages of SWD, and the peak, for large images made on the fly."""
    from gan_metrics.base import MetricSettings
    from gan_metrics.swd import SlicedWasserstein

    metric = SlicedWasserstein(MetricSettings(workers=workers, max_memory=memory, floor=False))
    describing = making = 0.0
    for seed, update in enumerate((metric.update_reals, metric.update_fakes)):
        batches = make_images(count, side, seed)
        while True:
            start = time.process_time()
            batch = next(batches, None)
            making += time.process_time() - start
            if batch is None:
                break
            start = time.process_time()
            update(np.ascontiguousarray(batch))
            describing += time.process_time() - start
    start = time.process_time()
    result = metric.compute()
    comparing = time.process_time() - start
    spilled = result.details["spilled_images"]
    metric.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"describe": describing, "compare": comparing, "making": making, "peak_mb": peak, "spilled": spilled}


def bench_large(count: int, side: int, workers: int, memory: int) -> None:
    """Print the cost of SWD on large images and the prediction for the paper's number."""
    found = measure_in_process("large-side", count, side, workers, memory)
    factor = 16384 / count
    print(f"SWD, 2 x {count} images of {side}x{side}, {workers} workers, max memory {memory >> 20} MB: {found}")
    describe, compare = found["describe"] * factor, found["compare"] * factor
    print(f"  predicted for 16384: describe {describe:.0f} + compare {compare:.0f} CPU s")


def main() -> None:
    """Parse the command line and run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part")
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int)
    parser.add_argument("--side", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", type=int, default=480 << 20)
    options = parser.parse_args()
    if options.part == "swd-side":
        side, folder, workers, memory = options.rest
        print(json.dumps(measure_swd(side, Path(folder), int(workers), int(memory))))
    elif options.part == "large-side":
        print(json.dumps(measure_large(*map(int, options.rest))))
    elif options.part == "swd":
        bench_swd(options.count or 2048, options.side or 128, options.rounds, options.workers, options.memory)
    elif options.part == "large":
        bench_large(options.count or 1024, options.side or 1024, options.workers, options.memory)
    elif options.part == "ms-ssim":
        bench_ms_ssim(options.peers, options.rounds)
    elif options.part == "fid":
        bench_fid(options.peers, options.rounds)
    elif options.part == "agree" and options.peers:
        check_agreement(options.peers)
    else:
        parser.error(f"{options.part!r}: choose swd, ms-ssim, fid, agree (with --peers) or large")


if __name__ == "__main__":
    main()
