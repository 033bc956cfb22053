"""4x super-resolution by a small residual net at low resolution (SRResNet without normalization).

After Ledig et al., Photo-Realistic Single Image Super-Resolution Using a GAN, CVPR 2017, arXiv:1609.04802, which the
paper names for this job, and Lim et al. (EDSR, 2017) for leaving normalization out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from celebahq_tools.restore.base import SizeRule
from celebahq_tools.restore.rednet import GAIN, Block, activate, build_conv

SCALE = 4
RULE = SizeRule()


@dataclass(frozen=True)
class SrNetShape:
    """Size of a net.

    Attributes:
        width: Feature maps at low resolution.
        blocks: Residual blocks there.
        fine: Feature maps at twice the resolution.
    """

    width: int
    blocks: int
    fine: int


VARIANTS = {
    "srres-m": SrNetShape(width=48, blocks=8, fine=24),
    "srres-s": SrNetShape(width=40, blocks=6, fine=16),
    "srres-xs": SrNetShape(width=32, blocks=4, fine=16),
}


class SrNet(nn.Module):
    """The net: blocks at low resolution, two steps of pixel shuffling, added to the bicubic enlargement.

    Args:
        shape: Widths and depth.
    """

    def __init__(self, shape: SrNetShape) -> None:
        super().__init__()
        self.head = build_conv(3, shape.width)
        self.body = nn.Sequential(*(Block(shape.width) for _ in range(shape.blocks)))
        self.join = build_conv(shape.width, shape.width)
        self.grow = build_conv(shape.width, 4 * shape.fine)
        self.refine = build_conv(shape.fine, shape.fine)
        self.tail = build_conv(shape.fine, 3 * 4, gain=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return RGB, (N, 3, 4H, 4W), for RGB in [0, 1], (N, 3, H, W); not clipped."""
        shallow = self.head(GAIN * (x - 0.5))
        features = shallow + self.join(self.body(shallow))
        fine = activate(F.pixel_shuffle(self.grow(features), 2))
        detail = F.pixel_shuffle(self.tail(activate(self.refine(fine))), 2) / GAIN
        enlarged = F.interpolate(x, scale_factor=SCALE, mode="bicubic", align_corners=False)
        return enlarged + detail
