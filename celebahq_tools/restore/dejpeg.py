"""JPEG artifact removal: a small residual net at half resolution."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from celebahq_tools.restore.base import RestorerRequest, SizeRule
from celebahq_tools.restore.checkpoint import read_checkpoint
from celebahq_tools.restore.network import NetRestorer, find_request_weights, load_state
from celebahq_tools.restore.tiling import TilePlan

# Nineteen 3x3 convolutions at half resolution reach 38 pixels; measured on photographs, 20 already keep the change
# within one grey level (docs/restoration.md). The net is cheap beside super-resolution, so tiles overlap by all 38 and
# tiling changes nothing at all. Pixel-unshuffle by 2 needs even sizes.
PLAN = TilePlan(rule=SizeRule(multiple_of=2, minimum=2), halo=38, tile=512)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU between them, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), nn.ReLU(inplace=True), _conv(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return an array of the input's shape, (N, width, H, W)."""
        residual: torch.Tensor = self.body(x)
        return x + residual


class JpegResNet(nn.Module):
    """Residual net over 2x2 pixel blocks, with learned colour transforms around it.

    The architecture follows from the names and shapes in the weight file; what those leave open (RGB in [0, 1],
    channel-major unshuffling, residuals not scaled, a skip over the whole body) was settled by measuring: every other
    choice loses PSNR (docs/restoration.md).

    Args:
        width: Feature maps.
        blocks: Residual blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 8) -> None:
        super().__init__()
        self.sub_mean = nn.Conv2d(3, 3, 1)
        self.head = nn.Sequential(_conv(12, width))
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)), _conv(width, width))
        self.tail = nn.Sequential(_conv(width, 12))
        self.add_mean = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the restored batch; RGB in [0, 1], shape (N, 3, H, W), H and W even."""
        features = self.head(F.pixel_unshuffle(self.sub_mean(x), 2))
        restored: torch.Tensor = self.add_mean(F.pixel_shuffle(self.tail(features + self.body(features)), 2))
        return restored


def build_jpeg_resnet(request: RestorerRequest) -> NetRestorer:
    """Return the JPEG artifact remover, with the registered weights or the user's own.

    Raises:
        ConfigError: If the device is absent or a scale other than 1 is asked for.
        WeightsError: If the weights are missing, damaged, or those of another net.
    """
    request.require_scale(1)
    path = find_request_weights(request)
    net = JpegResNet()
    load_state(net, read_checkpoint(path), path)
    return NetRestorer(net, request=request, scale=1, plan=PLAN, finds_grid=True)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
