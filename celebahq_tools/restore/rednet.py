"""JPEG artifact removal by a small symmetric net of convolutions and transposed convolutions.

After RED-Net (Mao, Shen, Yang, NIPS 2016, arXiv:1606.08921), which the paper names for this job: convolutions that
take the artifacts apart, transposed convolutions that put the image together, each fed by a skip from its mirror image,
and the input added at the end. Here the convolutions stride down to a sixteenth of the image's area and lower, which
costs a fraction of the original's full resolution and lets the net see the 8x8 grid of the JPEG as a whole.

The largest is also shown, at an eighth of the side, the DCT of every 8x8 block: which coefficients are zero, and what
the others are multiples of, tells how coarsely the JPEG was quantized. From pixels a net learns that late, if ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from celebahq_tools.restore.base import SizeRule

# Pixels become channels at half resolution; two strides of two follow.
RULE = SizeRule(multiple_of=8, minimum=8)
_UNSHUFFLE = 2

# RGB to luma and two colour differences, of which JPEG treats the latter otherwise: the net sees them apart from the
# start instead of having to learn it. All are brought to a spread of about one; with pixels in [0, 1], features were so
# small that the first steps' biases switched most units off for good.
GAIN = 4.0
_COLOUR_GAIN = 3.0
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_SLOPE = 0.1

_BLOCK = 8
# Coefficients count by their logarithm, beyond a few grey levels: 60 is about GAIN * 8 / 255 of a level, turned over.
_COEFFICIENT_GAIN = 60.0
_LOGARITHM_GAIN = 0.4


@dataclass(frozen=True)
class RedNetShape:
    """Size of a net.

    Attributes:
        widths: Feature maps at 1/2, 1/4 and 1/8 of the image's side.
        blocks: Residual blocks on the way down and again on the way up at the first two; blocks in all at the third.
        sees_spectrum: Whether the DCT of every 8x8 block is an input of the third.
    """

    widths: tuple[int, int, int]
    blocks: tuple[int, int, int]
    sees_spectrum: bool = False

    def __post_init__(self) -> None:
        # JSON and TOML know lists only.
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "blocks", tuple(self.blocks))


VARIANTS = {
    "rednet-l": RedNetShape(widths=(64, 96, 128), blocks=(3, 1, 2), sees_spectrum=True),
    "rednet-m": RedNetShape(widths=(48, 80, 128), blocks=(1, 2, 3)),
    "rednet-s": RedNetShape(widths=(40, 64, 96), blocks=(1, 2, 3)),
    "rednet-xs": RedNetShape(widths=(32, 64, 96), blocks=(1, 1, 2)),
}


class Block(nn.Module):
    """Two 3x3 convolutions with a leaky ReLU between them, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = build_conv(width, width)
        # Almost the identity at first: a deep stack then trains at a high rate without normalization.
        self.conv2 = build_conv(width, width, gain=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return an array of the input's shape, (N, width, H, W)."""
        residual: torch.Tensor = self.conv2(activate(self.conv1(x)))
        # In place, here and below: no new memory for the sum.
        return residual.add_(x)


class Spectrum(nn.Module):
    """The DCT of every 8x8 block, on a logarithmic scale with and without sign, mixed into feature maps.

    Args:
        width: Feature maps.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("basis", build_dct_basis()[:, None], persistent=False)
        self.basis: torch.Tensor
        self.mix = _build_stride(nn.Conv2d(2 * 3 * _BLOCK**2, width, 1), 2 * 3 * _BLOCK**2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return features (N, width, H / 8, W / 8) of an image (N, 3, H, W)."""
        count, colours, height, width = image.shape
        planes = image.reshape(count * colours, 1, height, width)
        blocks = F.conv2d(planes, self.basis, stride=_BLOCK)
        values = torch.asinh(_COEFFICIENT_GAIN * blocks).mul(_LOGARITHM_GAIN)
        values = values.reshape(count, colours * _BLOCK**2, height // _BLOCK, width // _BLOCK)
        features: torch.Tensor = self.mix(torch.cat([values, values.abs()], dim=1))
        return features


class RedNet(nn.Module):
    """The net; see the module's description.

    Args:
        shape: Widths and depths.
    """

    def __init__(self, shape: RedNetShape) -> None:
        super().__init__()
        first, second, third = shape.widths
        pixels = 3 * _UNSHUFFLE**2
        self.head = build_conv(pixels, first)
        self.down1 = _stack(first, shape.blocks[0])
        self.stride1 = _build_stride(nn.Conv2d(first, second, 2, stride=2), 4 * first)
        self.down2 = _stack(second, shape.blocks[1])
        self.stride2 = _build_stride(nn.Conv2d(second, third, 2, stride=2), 4 * second)
        self.spectrum = Spectrum(third) if shape.sees_spectrum else None
        self.middle = _stack(third, shape.blocks[2])
        self.grow2 = _build_stride(nn.ConvTranspose2d(third, second, 2, stride=2), third)
        self.up2 = _stack(second, shape.blocks[1])
        self.grow1 = _build_stride(nn.ConvTranspose2d(second, first, 2, stride=2), second)
        self.up1 = _stack(first, shape.blocks[0])
        self.tail = build_conv(first, pixels, gain=0)
        forth = GAIN * torch.tensor(_TO_YCC) * torch.tensor([[1.0], [_COLOUR_GAIN], [_COLOUR_GAIN]])
        self.register_buffer("to_ycc", _per_pixel(forth), persistent=False)
        self.register_buffer("to_rgb", _per_pixel(torch.linalg.inv(forth)), persistent=False)
        self.to_ycc: torch.Tensor
        self.to_rgb: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the restored batch; RGB in [0, 1], (N, 3, H, W), H and W multiples of 8; not clipped."""
        pixels = F.pixel_unshuffle(x, _UNSHUFFLE)
        colours = F.conv2d(pixels - 0.5, self.to_ycc)
        half = self.down1(self.head(colours))
        quarter = self.down2(self.stride1(half))
        eighth = self.stride2(quarter)
        if self.spectrum is not None:
            eighth = self.spectrum(F.pixel_shuffle(colours, _UNSHUFFLE)).add_(eighth)
        eighth = self.middle(eighth)
        quarter = self.up2(self.grow2(eighth).add_(quarter))
        half = self.up1(self.grow1(quarter).add_(half))
        return F.pixel_shuffle(F.conv2d(self.tail(half), self.to_rgb).add_(pixels), _UNSHUFFLE)


def build_dct_basis() -> torch.Tensor:
    """Return the orthonormal DCT of 8x8 blocks, (64, 8, 8): the coefficient of frequency (u, v) is number 8 u + v."""
    places = torch.arange(_BLOCK)
    rows = torch.cos(math.pi * (2 * places[None] + 1) * places[:, None] / (2 * _BLOCK)) * (2 / _BLOCK) ** 0.5
    rows[0] /= 2**0.5
    return torch.einsum("ui,vj->uvij", rows, rows).flatten(0, 1)


def build_conv(inputs: int, outputs: int, gain: float = 1.0) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the spread of its input, times a gain; 0 starts it at zero."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.normal_(conv.weight, std=gain * (9 * inputs) ** -0.5)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]  # always there
    return conv


def activate(x: torch.Tensor) -> torch.Tensor:
    """Return a leaky ReLU of features, in place: no unit can be switched off for good."""
    return F.leaky_relu(x, _SLOPE, inplace=True)


def _build_stride(conv: nn.Module, inputs: int) -> nn.Module:
    """Return a convolution that changes the resolution, so that it keeps the spread of its input.

    Args:
        conv: Its kernel is as large as its stride.
        inputs: Numbers that make one of its outputs.
    """
    nn.init.normal_(conv.weight, std=inputs**-0.5)  # type: ignore[arg-type]  # a convolution has one
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def _stack(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))


def _per_pixel(matrix: torch.Tensor) -> torch.Tensor:
    """Return a 1x1 convolution that applies a colour matrix to each of the pixels that unshuffling made channels.

    Args:
        matrix: (3, 3), applied to column vectors.
    Returns:
        (12, 12, 1, 1): channels are ordered by colour, then by place.
    """
    return torch.kron(matrix.contiguous(), torch.eye(_UNSHUFFLE**2))[:, :, None, None]
