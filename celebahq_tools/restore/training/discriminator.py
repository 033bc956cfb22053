"""Tells restored patches from true ones, place by place (PatchGAN, Isola et al., CVPR 2017, arXiv:1611.07004)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

_SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """Four convolutions, each spectrally normalized (Miyato et al., ICLR 2018); every output sees 38 pixels.

    Args:
        width: Feature maps of the first convolution.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            (
                spectral_norm(nn.Conv2d(3, width, 4, stride=2, padding=1)),
                spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
                spectral_norm(nn.Conv2d(2 * width, 4 * width, 3, padding=1)),
                spectral_norm(nn.Conv2d(4 * width, 4 * width, 3, padding=1)),
            )
        )
        self.score = nn.Conv2d(4 * width, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return scores, (N, 1, H / 4, W / 4), and the features of every layer; RGB in [0, 1], (N, 3, H, W)."""
        features = []
        x = 2 * x - 1
        for layer in self.layers:
            x = F.leaky_relu(layer(x), _SLOPE)
            features.append(x)
        return self.score(x), features
