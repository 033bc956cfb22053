"""One of the processes of the tests of many ranks: does what the lines on its standard input say.

    python two_ranks.py ADDRESS RANK COUNT

A line is a JSON object with the name of a function below and its arguments; the answer is one line, too.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from celebahq_tools.config import resolve_config
from celebahq_tools.errors import CelebahqError
from pggan_core.config import TrainConfig
from pggan_core.distributed import Ranks, join_ranks
from pggan_core.layers import BatchNorm, MinibatchDiscrimination, minibatch_stddev
from pggan_core.trainer import Hooks, Trainer

torch.set_num_threads(1)


def train(ranks: Ranks, config: dict, folder: str, resume: str | None, stop: dict[str, int], data: dict) -> dict:
    """Train; ``stop`` asks for a stop after a number of images on one rank, ``data`` replaces a rank's dataset."""
    wanted = stop.get(str(ranks.rank), 10**9)
    settled = resolve_config(TrainConfig, preset=config)
    settled = replace(settled, data=data.get(str(ranks.rank), settled.data))
    trainer = Trainer(settled, Path(folder), resume=resume, ranks=ranks)
    if config.get("seed") == 666:  # One rank's gradients go wrong at the third step.
        spoil(trainer, ranks)
    trainer.hooks = Hooks(should_stop=lambda: trainer.images_shown >= wanted)
    finished = trainer.run()
    weights = torch.cat([p.flatten() for p in trainer.stepper.generator.parameters()])
    return {
        "finished": finished,
        "images": trainer.images_shown,
        "skipped": trainer.skipped,
        "weights": [float(weights.sum()), float(weights.square().sum())],
    }


def spoil(trainer: Trainer, ranks: Ranks) -> None:
    original = trainer.stepper.loss.generator

    def generator(fake: torch.Tensor) -> torch.Tensor:
        bad = ranks.rank == 1 and trainer.images_shown == 16
        return original(fake) * (float("nan") if bad else 1.0)

    trainer.stepper.loss.generator = generator


def check_gradients(ranks: Ranks, total: int) -> dict:
    """Compare layers that look at the whole minibatch with one process: values, first and second derivatives."""
    share = ranks.share(total)
    torch.manual_seed(0)
    images, direction = torch.randn(total, 3, 2, 2, dtype=torch.double), torch.randn(total, 16, dtype=torch.double)
    vectors = torch.randn(total, 6, dtype=torch.double)
    kernels = MinibatchDiscrimination(6, 3).double()
    alone, together = BatchNorm(3).double(), BatchNorm(3).double()
    together.ranks = ranks
    pairs = {
        "stddev": (images, lambda x: minibatch_stddev(x), lambda x: minibatch_stddev(x, share=share)),
        "groups": (images, lambda x: minibatch_stddev(x, 2), lambda x: minibatch_stddev(x, 2, share=share)),
        "discrimination": (vectors, lambda x: kernels(x), lambda x: kernels(x, share)),
        "batch norm": (images, alone, together),
    }
    differences = {}
    for name, (whole, one, many) in pairs.items():
        expected = derive(whole, one, direction)
        mine = derive(share.pick(whole), many, share.pick(direction))
        gap = max(float((ours - share.pick(theirs)).abs().max()) for ours, theirs in zip(mine, expected, strict=True))
        differences[name] = gap
    differences["running variance"] = float((alone.running_var - together.running_var).abs().max())
    return differences


def derive(x: torch.Tensor, function: nn.Module, weights: torch.Tensor) -> list[torch.Tensor]:
    """Return the function, the gradient of a cubic of it, and the gradient of that gradient's square."""
    x = x.clone().requires_grad_(True)
    y = function(x).flatten(1)
    (first,) = torch.autograd.grad((y**3 * weights[:, : y.shape[1]]).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    return [y.detach(), first.detach(), second]


def check_numerically(ranks: Ranks) -> dict:
    """Compare the exchanges' derivatives with finite differences, which every rank takes at the same time."""
    share = ranks.share(3)
    torch.manual_seed(0)
    x = share.pick(torch.randn(3, 2, dtype=torch.double)).requires_grad_(True)

    def loss(whole: torch.Tensor) -> torch.Tensor:
        gathered = share.gather(whole)
        return (gathered[share.start : share.stop] * gathered.square().sum() + ranks.add(whole.sum()) ** 3).sum()

    def total(point: torch.Tensor) -> float:
        return float(ranks.add(loss(point).detach()))

    (gradient,) = torch.autograd.grad(loss(x), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)

    def squares(point: torch.Tensor) -> float:
        (slope,) = torch.autograd.grad(loss(point), point)
        return float(ranks.add(slope.square().sum()))

    return {
        "first": compare_slopes(ranks, x, gradient.detach(), total),
        "second": compare_slopes(ranks, x, second, squares),
    }


def compare_slopes(ranks: Ranks, x: torch.Tensor, slope: torch.Tensor, function) -> float:
    """Return the largest difference to central differences, each value of each rank moved in turn."""
    worst = 0.0
    for rank in range(ranks.count):
        for place in range(4):
            sides = []
            for step in (1e-5, -1e-5):
                moved = x.detach().clone()
                if rank == ranks.rank and place < x.numel():
                    moved.view(-1)[place] += step
                sides.append(function(moved.requires_grad_(True)))
            if rank == ranks.rank and place < x.numel():
                worst = max(worst, abs((sides[0] - sides[1]) / 2e-5 - float(slope.view(-1)[place])))
    return worst


def main() -> None:
    address, rank, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with join_ranks(address, rank, count) as ranks:
        for line in sys.stdin:
            job = json.loads(line)
            function = globals()[job.pop("function")]
            try:
                answer = function(ranks, **job)
            except CelebahqError as error:
                answer = {"error": type(error).__name__, "message": str(error)}
            sys.stdout.write(f"ANSWER {json.dumps(answer)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
