"""4x adversarial super-resolution: the RRDB net (Wang et al., ESRGAN, ECCVW 2018, arXiv:1809.00219)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from celebahq_tools.restore.base import RestorerRequest, SizeRule
from celebahq_tools.restore.checkpoint import read_checkpoint
from celebahq_tools.restore.ncnn import ConvolutionShape, read_convolutions
from celebahq_tools.restore.network import NetRestorer, find_request_weights, load_state
from celebahq_tools.restore.tiling import TilePlan

SCALE = 4
NCNN_SUFFIX = ".bin"

# In theory an output pixel sees 351 input pixels in every direction. How far a change is felt by more than one grey
# level was measured on photographs (docs/restoration.md) and depends on the weights; a margin is added to the farthest.
_TILE = 384
_DEFAULT_HALO = 96
_HALOS = {"realsr-df2k": 40, "x4plus": 96}

# Rows of low resolution that are upscaled together, and the rows around them that the upscaling convolutions reach:
# one at 2x and three at 4x are less than two at 1x.
_STRIP = 16
_STRIP_CONTEXT = 2

_SLOPE = 0.2
_RESIDUAL_SCALE = 0.2


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the outputs of all before it; a fifth of the last is added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _conv(width, growth)
        self.conv2 = _conv(width + growth, growth)
        self.conv3 = _conv(width + 2 * growth, growth)
        self.conv4 = _conv(width + 3 * growth, growth)
        self.conv5 = _conv(width + 4 * growth, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return an array of the input's shape, (N, width, H, W)."""
        features = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = torch.cat([features, _activate(conv(features))], dim=1)
        return torch.add(x, self.conv5(features), alpha=_RESIDUAL_SCALE)


class ResidualInResidual(nn.Module):
    """Three dense blocks in a row; a fifth of their output is added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(width, growth)
        self.rdb2 = DenseBlock(width, growth)
        self.rdb3 = DenseBlock(width, growth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return an array of the input's shape, (N, width, H, W)."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=_RESIDUAL_SCALE)


class RRDBNet(nn.Module):
    """The generator of ESRGAN, RealSR and Real-ESRGAN x4plus; parameter names are those of published checkpoints.

    Args:
        width: Feature maps.
        blocks: Residual-in-residual blocks.
        growth: Maps added by each convolution of a dense block.
    """

    def __init__(self, width: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        # Registered in the order of evaluation, which is also the order of convolutions in ncnn files.
        self.conv_first = _conv(3, width)
        self.body = nn.Sequential(*(ResidualInResidual(width, growth) for _ in range(blocks)))
        self.conv_body = _conv(width, width)
        self.conv_up1 = _conv(width, width)
        self.conv_up2 = _conv(width, width)
        self.conv_hr = _conv(width, width)
        self.conv_last = _conv(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return RGB, (N, 3, 4H, 4W), for RGB in [0, 1], (N, 3, H, W); not clipped."""
        shallow = self.conv_first(x)
        features = shallow + self.conv_body(self.body(shallow))
        # In strips, because at four times the size the feature maps would need more memory than all else.
        rows = features.shape[2]
        strips = []
        for start in range(0, rows, _STRIP):
            top = max(start - _STRIP_CONTEXT, 0)
            stop = min(start + _STRIP, rows)
            strip = self._upscale(features[:, :, top : min(stop + _STRIP_CONTEXT, rows)])
            strips.append(strip[:, :, (start - top) * SCALE : (stop - top) * SCALE])
        return torch.cat(strips, dim=2)

    def _upscale(self, features: torch.Tensor) -> torch.Tensor:
        for conv in (self.conv_up1, self.conv_up2):
            features = _activate(conv(F.interpolate(features, scale_factor=2, mode="nearest")))
        rgb: torch.Tensor = self.conv_last(_activate(self.conv_hr(features)))
        return rgb


def build_rrdbnet(request: RestorerRequest) -> NetRestorer:
    """Return the 4x super-resolution net, with the registered weights or the user's own.

    Raises:
        ConfigError: If the device is absent or a scale other than 4 is asked for.
        WeightsError: If the weights are missing, damaged, or those of another net.
    """
    request.require_scale(SCALE)
    path = find_request_weights(request)
    net = RRDBNet()
    state = read_ncnn_state(net, path) if path.suffix == NCNN_SUFFIX else read_checkpoint(path)
    load_state(net, state, path)
    plan = TilePlan(rule=SizeRule(), halo=_HALOS.get(request.name, _DEFAULT_HALO), tile=_TILE)
    return NetRestorer(net, request=request, scale=SCALE, plan=plan)


def read_ncnn_state(net: nn.Module, path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of an ncnn file under the names of a net made of 3x3 convolutions only.

    Args:
        net: Its convolutions were registered in the order in which they are evaluated.
        path: The ``.bin`` file.
    Raises:
        WeightsError: If the file does not hold exactly these convolutions.
    """
    convolutions = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    shapes = [ConvolutionShape(conv.out_channels, conv.in_channels, conv.kernel_size[0]) for _, conv in convolutions]
    state: dict[str, torch.Tensor] = {}
    for (name, _), (weight, bias) in zip(convolutions, read_convolutions(path, shapes), strict=True):
        state[f"{name}.weight"] = torch.from_numpy(weight)
        state[f"{name}.bias"] = torch.from_numpy(bias)
    return state


def _activate(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, _SLOPE, inplace=True)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
