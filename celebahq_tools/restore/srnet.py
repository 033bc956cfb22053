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
from celebahq_tools.restore.rednet import Block

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
        self.head = nn.Conv2d(3, shape.width, 3, padding=1)
        self.body = nn.Sequential(*(Block(shape.width) for _ in range(shape.blocks)))
        self.join = nn.Conv2d(shape.width, shape.width, 3, padding=1)
        self.grow = nn.Conv2d(shape.width, 4 * shape.fine, 3, padding=1)
        self.refine = nn.Conv2d(shape.fine, shape.fine, 3, padding=1)
        self.tail = nn.Conv2d(shape.fine, 3 * 4, 3, padding=1)
        nn.init.normal_(self.tail.weight, std=1e-3)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]  # always there

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return RGB, (N, 3, 4H, 4W), for RGB in [0, 1], (N, 3, H, W); not clipped."""
        shallow = self.head(x - 0.5)
        features = shallow + self.join(self.body(shallow))
        fine = F.relu(F.pixel_shuffle(self.grow(features), 2), inplace=True)
        fine = F.relu(self.refine(fine), inplace=True)
        detail = F.pixel_shuffle(self.tail(fine), 2)
        enlarged = F.interpolate(x, scale_factor=SCALE, mode="bicubic", align_corners=False)
        return enlarged + detail
