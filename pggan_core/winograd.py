"""3x3 convolution by Winograd's minimal filtering: a quarter of the multiplications, as matrix products.

An output tile of 4x4 pixels is a linear map of 36 products instead of 144 (Lavin and Gray 2016, "Fast algorithms for
convolutional neural networks", F(4x4, 3x3)). With hundreds of feature maps the products are batched matrix
multiplications that keep a CPU busy. In float32 the result differs from the direct sum by about 1e-6 of its range.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

TILE = 4
_POINTS = TILE + 2
_LEAST_MAPS = 128
_LEAST_PIXELS = 512
_PART_PIXELS = 1 << 12
# Points 0, 1, -1, 2, -2 and infinity.
_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)


def pays_winograd(x: Tensor, weight: Tensor) -> bool:
    """Whether :func:`convolve_3x3` is the faster way, as measured with 64 to 512 maps (benchmarks/results/train.md).

    Args:
        x: (N, I, H, W).
        weight: (O, I, 3, 3), or (I, O, 3, 3) for the adjoint.
    """
    count, _, height, width = x.shape
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and height % TILE == width % TILE == 0
        and min(weight.shape[:2]) >= _LEAST_MAPS
        and count * height * width >= _LEAST_PIXELS
    )


def convolve_3x3(x: Tensor, weight: Tensor, *, adjoint: bool = False) -> Tensor:
    """Return the 3x3 convolution of a batch with one zero on every side, or its adjoint; not differentiable.

    Args:
        x: (N, I, H, W) float32, H and W multiples of 4; channels_last needs no copy.
        weight: (O, I, 3, 3) float32, or (I, O, 3, 3) for the adjoint.
        adjoint: Compute the transposed convolution.
    Returns:
        (N, O, H, W) in channels_last.
    """
    count, _, height, width = x.shape
    kernels, back = _transform_kernels(weight, adjoint), _matrix("output", x)
    result = x.new_empty(count, height, width, kernels.shape[2])
    tiled = result.view(count, height // TILE, TILE, width // TILE, TILE, -1)
    for images, target in zip(_split(x), _split(tiled), strict=True):
        products = torch.bmm(_transform_images(images), kernels)
        tiles = (back @ products.view(_POINTS**2, -1)).view(TILE, TILE, *target.shape[:2], target.shape[3], -1)
        target.copy_(tiles.permute(2, 3, 0, 4, 1, 5))
    return result.permute(0, 3, 1, 2)


def correlate_3x3(x: Tensor, grad: Tensor) -> Tensor:
    """Return the weight gradient of :func:`convolve_3x3`; with the arguments exchanged, that of its adjoint.

    Args:
        x: (N, I, H, W) float32, the images.
        grad: (N, O, H, W) float32, the gradient of the output.
    Returns:
        (O, I, 3, 3).
    """
    outputs, inputs = grad.shape[1], x.shape[1]
    products = None
    spread = _matrix("output", x).t()
    for images, part in zip(_split(x), _split(grad), strict=True):
        count, _, height, width = part.shape
        tiles = part.permute(0, 2, 3, 1).reshape(count, height // TILE, TILE, width // TILE, TILE, outputs)
        gradients = spread @ tiles.permute(2, 4, 0, 1, 3, 5).reshape(TILE**2, -1)
        gradients = gradients.view(_POINTS**2, -1, outputs).transpose(1, 2)
        if products is None:
            products = torch.bmm(gradients, _transform_images(images))
        else:
            products.baddbmm_(gradients, _transform_images(images))
    if products is None:
        return x.new_zeros(outputs, inputs, 3, 3)
    kernels = _matrix("kernel", x).t() @ products.view(_POINTS**2, -1)
    return kernels.t().reshape(outputs, inputs, 3, 3)


def _split(batch: Tensor) -> tuple[Tensor, ...]:
    """Return parts of a batch whose transforms take tens of megabytes, not hundreds."""
    pixels = batch.numel() // (batch.shape[0] * (batch.shape[1] if batch.ndim == 4 else batch.shape[-1]))
    return torch.split(batch, max(1, _PART_PIXELS // pixels))


def _transform_images(x: Tensor) -> Tensor:
    """Return the transformed 6x6 tiles, (36, tiles, I): whole vectors of maps are copied, never single numbers."""
    count, maps, height, width = x.shape
    padded = x.new_zeros(count, height + 2, width + 2, maps)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    step, row, line = maps, padded.stride(1), padded.stride(0)
    tiles = padded.as_strided(
        (_POINTS, _POINTS, count, height // TILE, width // TILE, maps), (row, step, line, TILE * row, TILE * step, 1)
    )
    return (_matrix("input", x) @ tiles.reshape(_POINTS**2, -1)).view(_POINTS**2, -1, maps)


def _transform_kernels(weight: Tensor, adjoint: bool) -> Tensor:
    """Return the transformed kernels, (36, I, O)."""
    # Only the nine taps change places; the millions of pairs of maps stay where they are, transposed by the product.
    taps = weight.reshape(-1, 9).t().contiguous()
    if adjoint:
        return (_matrix("reversed kernel", weight) @ taps).view(-1, *weight.shape[:2])
    return (_matrix("kernel", weight) @ taps).view(-1, *weight.shape[:2]).transpose(1, 2)


def _matrix(name: str, like: Tensor) -> Tensor:
    return _build_matrix(name, like.device)


@functools.cache
def _build_matrix(name: str, device: torch.device) -> Tensor:
    backwards = tuple(row[::-1] for row in _KERNEL)
    lines = {"input": _INPUT, "kernel": _KERNEL, "reversed kernel": backwards, "output": _OUTPUT}
    line = torch.tensor(lines[name], dtype=torch.float64)
    return torch.kron(line, line).float().to(device)
