"""Time one D+G training step against pro-gan-pth and a plain loop, alternating between processes.

    python -m benchmarks.bench_train --resolution 8 --peer-python PEERS/bin/python

Every contestant lives in its own process with 2 threads and the same batch of 16; a round steps each of them once, in
turn, so that whatever else the machine does hits all alike. Reported: median process CPU time and wall time per step,
images per second of wall time, ratio to the first contestant, peak memory of the process.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

BATCH = 16
Step = Callable[[], None]


def build_ours(resolution: int, fmap_base: int, *, variant: str = "") -> Step:
    """Return our step; ``variant`` switches one thing off or on."""
    import torch

    from celebahq_tools.allocator import keep_freed_memory
    from pggan_core.config import TrainConfig
    from pggan_core.networks import Discriminator, Generator
    from pggan_core.schedule import schedule_at
    from pggan_core.step import Stepper

    if "remap" not in variant:
        keep_freed_memory()  # as the trainer does
    config = TrainConfig(
        fmap_base=fmap_base,
        grow=False,
        stddev="groups",
        lr=0.001,
        fused_downscale="unfused" not in variant,
        share_latents="fresh" not in variant,
        compile="compile" in variant,
        precision="bf16" if "bf16" in variant else "fp32",
    )
    levels = int(math.log2(resolution)) - 2
    shape = config.network(levels=levels, base_height=4, base_width=4, channels=3, labels=0)
    torch.manual_seed(0)
    generator, discriminator = Generator(shape), Discriminator(shape)
    if "channels_last" in variant:
        generator.to(memory_format=torch.channels_last)
        discriminator.to(memory_format=torch.channels_last)
    stepper = Stepper(
        config,
        generator,
        discriminator,
        copy.deepcopy(generator).requires_grad_(False),
        device=torch.device("cpu"),
        rng=torch.Generator().manual_seed(0),
    )
    if "foreach" in variant:
        for name, network in (("g_optimizer", generator), ("d_optimizer", discriminator)):
            setattr(stepper, name, torch.optim.Adam(network.parameters(), lr=0.001, betas=(0.0, 0.99), foreach=True))
    if "separate" in variant:
        Discriminator.joins_batches = property(lambda _: False)
    if "direct" in variant:
        from pggan_core import convolution

        convolution.pays_winograd = lambda *_: False
    if "stockconv" in variant:
        _use_stock_convolutions(folded=True)
    if "unfolded" in variant:
        _use_stock_convolutions(folded=False)
    point = schedule_at(config.schedule(levels), 0)
    reals = torch.randn(BATCH, 3, resolution, resolution).clamp(-1, 1)
    if "channels_last" in variant:
        reals = reals.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        stepper.run(lambda: (reals, None), point)

    return step


def _use_stock_convolutions(*, folded: bool) -> None:
    """Replace our convolution by torch's own, with its double backward; unfolded also resizes separately."""
    import torch.nn.functional as F

    from pggan_core import layers

    def stock(x: Any, weight: Any, *, stride: int = 1, padding: int = 1, transposed: bool = False) -> Any:
        run = F.conv_transpose2d if transposed else F.conv2d
        return run(x, weight, stride=stride, padding=padding)

    def forward(self: Any, x: Any) -> Any:
        if self.resize == "up":
            x = F.interpolate(x, scale_factor=2)
        x = F.conv2d(x, self.weight * self.scale, padding=self.padding)
        if self.resize == "down":
            x = F.avg_pool2d(x, 2)
        return x + self.bias.view(1, -1, 1, 1)

    if folded:
        layers.convolve = stock
    else:
        layers.Conv.forward = forward


def build_plain(resolution: int, fmap_base: int) -> Step:
    """Return the textbook loop on the same networks: stock convolutions, three passes, default Adam."""
    import torch

    from pggan_core.architecture import NetworkConfig
    from pggan_core.networks import Discriminator, Generator

    _use_stock_convolutions(folded=False)
    levels = int(math.log2(resolution)) - 2
    shape = NetworkConfig(levels=levels, fmap_base=fmap_base, stddev="groups")
    torch.manual_seed(0)
    generator, discriminator = Generator(shape), Discriminator(shape)
    average = copy.deepcopy(generator)
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=0.001, betas=(0.0, 0.99))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=0.001, betas=(0.0, 0.99))
    reals = torch.randn(BATCH, 3, resolution, resolution).clamp(-1, 1)

    def step() -> None:
        fakes = generator(torch.randn(BATCH, 512), level=levels).detach()
        real_scores, _ = discriminator(reals, level=levels)
        fake_scores, _ = discriminator(fakes, level=levels)
        between = torch.lerp(reals, fakes, torch.rand(BATCH, 1, 1, 1)).requires_grad_(True)
        scores, _ = discriminator(between, level=levels)
        (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        penalty = (gradient.flatten(1).norm(dim=1) - 1).square()
        loss = (fake_scores - real_scores + 0.001 * real_scores.square() + 10 * penalty).mean()
        d_optimizer.zero_grad()
        loss.backward()
        d_optimizer.step()
        scores, _ = discriminator(generator(torch.randn(BATCH, 512), level=levels), level=levels)
        g_optimizer.zero_grad()
        (-scores).mean().backward()
        g_optimizer.step()
        with torch.no_grad():
            for mine, new in zip(average.parameters(), generator.parameters(), strict=True):
                mine.lerp_(new, 0.001)

    return step


def build_peer(resolution: int, fmap_base: int) -> Step:
    """Return pro-gan-pth's step: its networks, loss, update order, overflow check and running average."""
    # Its package imports torchvision for the data loader and the image grids, which a step does not need.
    import importlib.util
    import types

    import numpy as np
    import torch

    found = importlib.util.find_spec("pro_gan_pytorch")
    package = types.ModuleType("pro_gan_pytorch")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["pro_gan_pytorch"] = package
    from pro_gan_pytorch import custom_layers, losses, networks

    def nf(stage: int) -> int:
        return int(np.clip(int(fmap_base / 2.0**stage), 1, 512))

    networks.nf = nf

    def transposed(self: Any, x: Any) -> Any:
        # The one-line fix: the original passes the builtin `input` to a method whose signature has changed since.
        return torch.conv_transpose2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)

    custom_layers.EqualizedConvTranspose2d.forward = transposed
    depth = int(math.log2(resolution))
    torch.manual_seed(0)
    generator, discriminator = networks.Generator(depth=depth), networks.Discriminator(depth=depth)
    shadow = copy.deepcopy(generator)
    loss = losses.WganGP()
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=0.003, betas=(0.0, 0.99))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=0.003, betas=(0.0, 0.99))
    reals = torch.randn(BATCH, 3, resolution, resolution).clamp(-1, 1)

    def check(network: Any) -> bool:
        for _, parameter in network.named_parameters():
            if parameter.grad is not None and not (
                torch.sum(torch.isnan(parameter.grad)) == 0 and torch.sum(torch.isinf(parameter.grad)) == 0
            ):
                return False
        return True

    def step() -> None:
        noise = torch.randn(BATCH, 512)
        fakes = generator(noise, depth, 1.0).detach()
        d_loss = loss.dis_loss(discriminator, reals, fakes, depth, 1.0)
        d_optimizer.zero_grad()
        d_loss.backward()
        if check(discriminator):
            d_optimizer.step()
        custom_layers.update_average(shadow, generator, beta=0.999)
        g_loss = loss.gen_loss(discriminator, reals, generator(noise, depth, 1.0), depth, 1.0)
        g_optimizer.zero_grad()
        g_loss.backward()
        if check(generator):
            g_optimizer.step()

    return step


def serve(name: str, resolution: int, fmap_base: int, threads: int) -> None:
    """Answer every line on stdin with one timed step."""
    import torch

    torch.set_num_threads(threads)
    if name == "pro-gan-pth":
        step = build_peer(resolution, fmap_base)
    elif name == "plain":
        step = build_plain(resolution, fmap_base)
    else:
        step = build_ours(resolution, fmap_base, variant=name)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        times = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print("STEP " + json.dumps({**times, "peak_mb": peak}), flush=True)


def main() -> None:
    """Run the contest of one resolution and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, required=True)
    parser.add_argument("--fmap-base", type=int, default=8192)
    parser.add_argument("--contestants", default="pro-gan-pth,plain,ours")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has pro-gan-pth 3.4")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(options.worker, options.resolution, options.fmap_base, options.threads)
        return
    names = options.contestants.split(",")
    workers = {name: start(name, options) for name in names}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    try:
        for repeat in range(options.warmup + options.repeats):
            for name in names if repeat % 2 else reversed(names):
                reply = ask(workers[name])
                if repeat >= options.warmup:
                    results[name].append(reply)
    except KeyboardInterrupt:
        print("stopped early")  # What was measured so far is still worth a table.
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    base = median(reply["cpu"] for reply in results[names[0]])
    print(
        f"{options.resolution} px, fmap_base {options.fmap_base}, batch {BATCH}, {options.threads} threads, "
        f"{min(map(len, results.values()))} rounds"
    )
    print("| step | CPU s | wall s | img/s | CPU time against first | peak MB |\n|---|---|---|---|---|---|")
    for name, replies in results.items():
        cpu, wall = median(r["cpu"] for r in replies), median(r["wall"] for r in replies)
        peak = max(r["peak_mb"] for r in replies)
        print(f"| {name} | {cpu:.3f} | {wall:.3f} | {BATCH / wall:.1f} | {base / cpu:.2f}x faster | {peak:.0f} |")


def start(name: str, options: argparse.Namespace) -> subprocess.Popen[str]:
    """Start a contestant's process."""
    python = options.peer_python if name == "pro-gan-pth" else sys.executable
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    command = [python, __file__, "--worker", name, "--resolution", str(options.resolution)]
    command += ["--fmap-base", str(options.fmap_base), "--threads", str(options.threads)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(worker: subprocess.Popen[str]) -> dict[str, float]:
    """Have a contestant take a step."""
    worker.stdin.write("step\n")
    worker.stdin.flush()
    for line in worker.stdout:
        if line.startswith("STEP "):
            return json.loads(line[5:])
    raise SystemExit("a contestant stopped; see its message above")


if __name__ == "__main__":
    main()
