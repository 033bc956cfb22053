"""Muon: momentum whose matrix is made orthogonal before each step (Jordan et al., 2024; Liu et al., arXiv:2502.16982).

Every direction of a weight matrix moves equally far, which reaches the same loss in far fewer steps than Adam does on
these nets (docs/models/): worth its tenth of a step's time where training is short.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Coefficients of the quintic iteration that drives all singular values towards 1, and how often it is applied.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
# With this factor the step has the size that Adam's would have, so that Adam's rates can be used.
_ADAM_SIZE = 0.2


class Muon(torch.optim.Optimizer):
    """Optimizer of convolution weights; each is a matrix of output maps by everything else.

    Args:
        params: Weights of two dimensions or more, or groups of them.
        lr: Learning rate, on Adam's scale.
        momentum: Decay of the running sum of gradients.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # returns no loss
        """Move every weight that has a gradient."""
        del closure
        for group in self.param_groups:
            # Weights of one shape go through the iteration together: fewer, larger products.
            by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[tuple(parameter.shape)].append(parameter)
            for parameters in by_shape.values():
                directions = torch.stack([self._blend(parameter, group["momentum"]) for parameter in parameters])
                rows, columns = directions.shape[1:]
                size = _ADAM_SIZE * max(rows, columns) ** 0.5
                for parameter, step in zip(parameters, orthogonalize(directions), strict=True):
                    parameter.add_(step.reshape(parameter.shape), alpha=-group["lr"] * size)

    def _blend(self, parameter: Tensor, momentum: float) -> Tensor:
        """Return the direction of a weight, (rows, columns): gradient plus momentum, looking one step ahead."""
        gradient = parameter.grad
        if gradient is None:
            raise ValueError("a weight without a gradient has no direction")
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        running: Tensor = state["momentum"]
        running.lerp_(gradient, 1 - momentum)
        return gradient.lerp(running, momentum).flatten(1)


def orthogonalize(matrices: Tensor) -> Tensor:
    """Return matrices with the same singular vectors and all singular values near 1 (between about 0.7 and 1.2).

    The usual iteration multiplies the whole matrix in every round. Here the small side's Gram matrix goes through it,
    and the matrix is multiplied once, by the product of all rounds: the same result for a fifth of the arithmetic.

    Args:
        matrices: (N, rows, columns).
    """
    a, b, c = _QUINTIC
    wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = wide / (wide.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    gram = x @ x.mT
    identity = torch.eye(gram.shape[1], dtype=x.dtype, device=x.device)
    product = identity.expand_as(gram)
    for _ in range(_ITERATIONS):
        # All of these are polynomials in one matrix, so their order does not matter.
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    result: Tensor = x.mT if matrices.shape[1] > matrices.shape[2] else x
    return result
