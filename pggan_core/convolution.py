"""The convolution of both networks, differentiable to any order, and resizing folded into it."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from pggan_core.winograd import convolve_3x3, correlate_3x3, pays_winograd


def convolve(x: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 1, transposed: bool = False) -> Tensor:
    """Return the 2-D convolution of a batch, or its adjoint, differentiable to any order.

    Image and weight gradients are the library's ordinary backward kernels at every order, and nothing is computed
    that no one asks for. On a CPU, 3x3 convolutions of many maps and pixels run by Winograd's minimal filtering; the
    others run on contiguous images, since weight gradients of channels_last ones take twice the time there
    (benchmarks/results/train.md).

    Args:
        x: (N, I, H, W).
        weight: (O, I, k, k), or (I, O, k, k) when transposed.
        stride: Output step; when transposed, the input's.
        padding: Zeros on every side. ``k`` and the padding must give sides that divide by the stride.
        transposed: Compute the adjoint (transposed convolution).
    Returns:
        (N, O, H', W').
    """
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        # Casting here, not inside, lets the derivatives see matching types.
        x, weight = x.to(torch.get_autocast_dtype(kind)), weight.to(torch.get_autocast_dtype(kind))
    return _run(_Convolve, x, weight, stride, padding, transposed)


def fold_into_4x4(weight: Tensor, scale: float, *, upscale: bool) -> Tensor:
    """Return the 4x4 stride-2 kernel equal to a 3x3 convolution joined to a factor-2 resize.

    Nearest-neighbour upsampling followed by a 3x3 convolution, and a 3x3 convolution followed by 2x2 averaging, are
    both one strided convolution with the sum of four shifted copies of the kernel: 16 multiplications instead of 36
    per low-resolution pixel.

    Args:
        weight: (O, I, 3, 3).
        scale: Factor on the whole kernel; the equalised learning rate rides along for nothing.
        upscale: Fold upsampling, for the transposed convolution; otherwise fold averaging.
    Returns:
        (I, O, 4, 4) when upscaling, else (O, I, 4, 4).
    """
    line = weight.new_zeros(3, 4)
    for tap in range(3):
        line[tap, tap : tap + 2] = 1.0
    if upscale:  # A transposed convolution runs the kernel backwards.
        line = line.flip(0)
    fold = torch.kron(line, line) * (scale if upscale else scale / 4)
    # Swapping before the product keeps the small tensor as the one that is copied.
    kernels = (weight.transpose(0, 1) if upscale else weight).reshape(-1, 9)
    outer, inner = (weight.shape[1], weight.shape[0]) if upscale else (weight.shape[0], weight.shape[1])
    return (kernels @ fold).view(outer, inner, 4, 4)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = (stride, padding, transposed)
        if _is_plain_3x3(weight, stride, padding) and pays_winograd(x, weight):
            return convolve_3x3(x, weight, adjoint=transposed)
        return torch.ops.aten.convolution(  # type: ignore[no-any-return]
            x.contiguous(), weight, None, (stride, stride), (padding, padding), (1, 1), transposed, (0, 0), 1
        )

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding, transposed = ctx.geometry
        grad = grad_outputs[0]
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _run(_Convolve, grad, weight, stride, padding, not transposed)
        if ctx.needs_input_grad[1]:
            grad_weight = _run(_WeightGradient, x, grad, weight, stride, padding, transposed)
        return grad_x, grad_weight, None, None, None


class _WeightGradient(torch.autograd.Function):
    """The bilinear map (images, output gradient) -> weight gradient, itself differentiable."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, grad: Tensor, weight: Tensor, stride: int, padding: int, transposed: bool
    ) -> Tensor:
        ctx.save_for_backward(x, grad)
        ctx.geometry = (stride, padding, transposed)
        if _is_plain_3x3(weight, stride, padding) and pays_winograd(x, weight):
            return correlate_3x3(grad, x) if transposed else correlate_3x3(x, grad)
        return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
            grad.contiguous(),
            x.contiguous(),
            weight,  # Only its shape and layout matter here.
            None,
            (stride, stride),
            (padding, padding),
            (1, 1),
            transposed,
            (0, 0),
            1,
            (False, True, False),
        )[1]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        x, grad = ctx.saved_tensors
        stride, padding, transposed = ctx.geometry
        weight_direction = grad_outputs[0]
        grad_x = grad_grad = None
        if ctx.needs_input_grad[0]:
            grad_x = _run(_Convolve, grad, weight_direction, stride, padding, not transposed)
        if ctx.needs_input_grad[1]:
            grad_grad = _run(_Convolve, x, weight_direction, stride, padding, transposed)
        return grad_x, grad_grad, None, None, None, None


def _is_plain_3x3(weight: Tensor, stride: int, padding: int) -> bool:
    return weight.shape[2:] == (3, 3) and stride == 1 and padding == 1


def _run(function: type[torch.autograd.Function], *arguments: object) -> Tensor:
    """Apply a function; torch leaves ``apply`` untyped."""
    return cast(Tensor, cast(Any, function).apply(*arguments))
