"""What single choices of the training step give, in CPU time: `python -m benchmarks.bench_train_parts`."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from pggan_core.convolution import convolve


def measure(run: Callable[[], object], rounds: int = 3) -> float:
    """Return the least CPU milliseconds of a few rounds: the least disturbed one."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times) * 1e3


def take_second_derivative(convolution: Callable[..., torch.Tensor], side: int, maps: int) -> Callable[[], None]:
    """Return a gradient penalty through one convolution layer."""
    x = torch.randn(16, maps, side, side, requires_grad=True)
    weight = torch.randn(maps, maps, 3, 3, requires_grad=True)

    def run() -> None:
        y = F.leaky_relu(convolution(x, weight, padding=1), 0.2)
        (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        torch.autograd.grad(gradient.square().sum(), weight)

    return run


def step_adam(**options: bool) -> Callable[[], None]:
    """Return an Adam step of a network of 11 million parameters."""
    parameters = [torch.randn(512, 512, 3, 3, requires_grad=True) for _ in range(5)]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    return torch.optim.Adam(parameters, lr=1e-3, betas=(0.0, 0.99), **options).step


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(2)
    print("| gradient penalty through one layer | stock | ours |\n|---|---|---|")
    for side, maps in ((8, 512), (16, 256), (64, 64), (128, 32)):
        stock = measure(take_second_derivative(F.conv2d, side, maps))
        ours = measure(take_second_derivative(convolve, side, maps))
        print(f"| {side} px, {maps} maps | {stock:.0f} ms | {ours:.0f} ms |", flush=True)
    print("\n| Adam, 11.8 M parameters | CPU ms |\n|---|---|")
    for name, options in (("for-loop", {"foreach": False}), ("foreach", {"foreach": True}), ("fused", {"fused": True})):
        print(f"| {name} | {measure(step_adam(**options)):.0f} |", flush=True)


if __name__ == "__main__":
    main()
