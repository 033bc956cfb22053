"""Layers of the progressive GAN: equalised weights, pixel norm, minibatch statistics, noise and normalisations."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pggan_core.architecture import Activation, Norm
from pggan_core.convolution import convolve, fold_into_4x4
from pggan_core.distributed import SOLO, Ranks, Share

LRELU_SLOPE = 0.2
GAIN = math.sqrt(2.0)
# Measured with 512 maps on a CPU: folding loses at 1024 pixels per batch, is even at 2048 and halves the time at 4096.
_FOLD_PIXELS_PER_MAP = 4
Resize = Literal["none", "up", "down"]


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Return feature vectors scaled to unit mean square at every pixel (Karras et al. 2018, Section 4.2).

    Args:
        x: (N, C) or (N, C, H, W).
        eps: Added to the mean square.
    Returns:
        Same shape as ``x``.
    """
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + eps)


def minibatch_stddev(
    x: Tensor, group_size: int | None = None, eps: float = 1e-8, *, share: Share | None = None
) -> Tensor:
    """Return ``x`` with one more map: the standard deviation over the minibatch, averaged to one value per group.

    Args:
        x: (N, C, H, W).
        group_size: Samples per group; None takes the whole batch (paper). Groups are interleaved: sample ``n`` is in
            group ``n mod (N / group_size)``. A batch that does not divide gets the largest group that does.
        eps: Added to the variance (population variance).
        share: Where ``x`` is this process's part of a minibatch, which part; statistics are the whole minibatch's.
    Returns:
        (N, C + 1, H, W).
    """
    whole = x if share is None else share.gather(x)
    count, channels, height, width = whole.shape
    size = count if group_size is None else min(group_size, count)
    while count % size:
        size -= 1
    groups = whole.reshape(size, count // size, channels, height, width)
    centred = groups - groups.mean(dim=0, keepdim=True)
    deviation = torch.sqrt(centred.square().mean(dim=0) + eps).mean(dim=(1, 2, 3))
    extra = deviation.repeat(size) if share is None else share.pick(deviation.repeat(size))
    extra = extra.view(-1, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, extra], dim=1)


def upsample(x: Tensor, times: int = 1) -> Tensor:
    """Return images (N, C, H, W) repeated to twice the sides, ``times`` times."""
    factor = 2**times
    return x if factor == 1 else F.interpolate(x, scale_factor=factor, mode="nearest")


def downsample(x: Tensor, times: int = 1) -> Tensor:
    """Return images (N, C, H, W) averaged over 2x2 squares, ``times`` times."""
    return x if times == 0 else F.avg_pool2d(x, 2**times)


def activate(x: Tensor, kind: Activation) -> Tensor:
    """Return the activation of ``x``: leaky ReLU of slope 0.2, ReLU, or nothing."""
    if kind == "lrelu":
        return F.leaky_relu(x, LRELU_SLOPE)
    return F.relu(x) if kind == "relu" else x


class NoiseSource:
    """Multiplicative Gaussian noise for the inputs of the discriminator's convolutions (appendix B).

    Args:
        strength: 0.2 * max(d - 0.5, 0)^2 of the running discriminator output ``d``.
        rng: Source of the noise.
        share: This process's part of the minibatch; it draws the whole minibatch's noise and uses its own.
    """

    def __init__(self, strength: float, rng: torch.Generator, share: Share | None = None) -> None:
        self.strength = strength
        self.rng = rng
        self.share = share

    def apply(self, x: Tensor) -> Tensor:
        """Return (N, C, ...) with every map of every sample multiplied by its own draw of N(1, s * sqrt(C))."""
        if self.strength == 0:
            return x
        batches = 1 if self.share is None else len(x) // (self.share.stop - self.share.start)
        samples = len(x) if self.share is None else batches * self.share.total
        shape = (samples, x.shape[1], *(1,) * (x.ndim - 2))
        draw = torch.randn(shape, generator=self.rng, device=self.rng.device).to(x)
        if self.share is not None:
            draw = self.share.pick(draw, batches)
        return x * (1 + self.strength * math.sqrt(x.shape[1]) * draw)


class _Weighted(nn.Module):
    """A weight and bias under the equalised learning rate, or initialised after He et al. without it."""

    def __init__(self, shape: tuple[int, ...], biases: int, *, gain: float, equalized: bool) -> None:
        super().__init__()
        spread = gain / math.sqrt(math.prod(shape[1:]))
        self.scale = spread if equalized else 1.0
        self.weight = nn.Parameter(torch.randn(shape) * (1.0 if equalized else spread))
        self.bias = nn.Parameter(torch.zeros(biases))


class Dense(_Weighted):
    """Fully connected layer with weights N(0, 1) scaled at run time by gain / sqrt(fan_in)."""

    def __init__(self, inputs: int, outputs: int, *, gain: float = GAIN, equalized: bool = True) -> None:
        super().__init__((outputs, inputs), outputs, gain=gain, equalized=equalized)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs) of (N, inputs)."""
        # Scaling the activations is exact and touches far fewer numbers than scaling the weights.
        return F.linear(x * self.scale, self.weight, self.bias)


class Projection(_Weighted):
    """The generator's first layer: a vector to ``maps`` feature maps on the base grid, one bias per map."""

    def __init__(self, inputs: int, maps: int, height: int, width: int, *, equalized: bool = True) -> None:
        super().__init__((maps * height * width, inputs), maps, gain=GAIN / 4, equalized=equalized)
        self.grid = (maps, height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, maps, height, width) of (N, inputs)."""
        return F.linear(x * self.scale, self.weight).view(-1, *self.grid) + self.bias.view(1, -1, 1, 1)


class Conv(_Weighted):
    """3x3 or 1x1 convolution, optionally joined to a factor-2 resize.

    ``up`` is nearest-neighbour upsampling before the convolution, ``down`` 2x2 averaging after it. Where it pays, both
    run as one 4x4 convolution of stride 2. For ``down`` the bias (and whatever follows) acts after the averaging, as
    in the released TensorFlow program; the paper's order is ``none`` followed by :func:`downsample`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        resize: Resize = "none",
        gain: float = GAIN,
        equalized: bool = True,
    ) -> None:
        super().__init__((outputs, inputs, kernel, kernel), outputs, gain=gain, equalized=equalized)
        self.resize = resize
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H', W') of (N, inputs, H, W)."""
        y = self._convolve_folded(x) if self._pays_to_fold(x) else self._convolve_plainly(x)
        return y + self.bias.view(1, -1, 1, 1)

    def _pays_to_fold(self, x: Tensor) -> bool:
        """Whether the folded kernel, 16/9 the size, is less work than the pixels it saves: the larger grid decides."""
        if self.resize == "none":
            return False
        pixels = x.shape[0] * x.shape[2] * x.shape[3] * (4 if self.resize == "up" else 1)
        return pixels >= _FOLD_PIXELS_PER_MAP * x.shape[1]

    def _convolve_folded(self, x: Tensor) -> Tensor:
        up = self.resize == "up"
        return convolve(x, fold_into_4x4(self.weight, self.scale, upscale=up), stride=2, transposed=up)

    def _convolve_plainly(self, x: Tensor) -> Tensor:
        if self.resize == "up":
            x = upsample(x)
        if x.numel() < self.weight.numel():  # Scale whichever is smaller.
            y = convolve(x * self.scale, self.weight, padding=self.padding)
        else:
            y = convolve(x, self.weight * self.scale, padding=self.padding)
        return downsample(y) if self.resize == "down" else y


class MinibatchDiscrimination(nn.Module):
    """Similarity of every sample to the others of the batch in learned projections (Salimans et al. 2016).

    Args:
        inputs: Features per sample.
        kernels: Similarities added per sample; Table 1 row e* uses 100.
        dimensions: Size of each projection.
    """

    def __init__(self, inputs: int, kernels: int, dimensions: int = 5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, kernels, dimensions) * (0.05 / math.sqrt(dimensions)))
        self.bias = nn.Parameter(torch.zeros(kernels))

    def forward(self, x: Tensor, share: Share | None = None) -> Tensor:
        """Return (N, inputs + kernels) of (N, inputs); with a share, compared with the whole minibatch."""
        projected = torch.einsum("ni,ikd->nkd", x, self.weight)
        others = projected if share is None else share.gather(projected)
        distance = (projected[:, None] - others[None]).abs().sum(dim=3)
        # A sample's similarity to itself is exp(0) = 1 and says nothing.
        similarity = torch.exp(-distance).sum(dim=1) - 1 + self.bias
        return torch.cat([x, similarity], dim=1)


def make_norm(kind: Norm, maps: int) -> nn.Module:
    """Return the normalisation that follows a convolution of ``maps`` feature maps."""
    if kind == "batch":
        return BatchNorm(maps)
    if kind == "layer":
        # Over maps and pixels of each sample, with one gain and bias per map.
        return nn.GroupNorm(1, maps)
    return PixelNorm() if kind == "pixel" else nn.Identity()


class BatchNorm(nn.BatchNorm2d):
    """Batch norm over the minibatch of all processes, differentiable twice; with one process torch's own."""

    ranks: Ranks = SOLO

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W) normalised."""
        if self.ranks.count == 1 or not self.training:
            return super().forward(x)
        pixels = x.new_full((1,), x.numel() / x.shape[1])
        sums = self.ranks.add(torch.cat([x.sum(dim=(0, 2, 3)), pixels]))
        total, mean = sums[-1].detach(), sums[:-1] / sums[-1]
        centred = x - mean.view(1, -1, 1, 1)
        variance = self.ranks.add(centred.square().sum(dim=(0, 2, 3))) / total
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.detach(), self.momentum or 0.0)
            self.running_var.lerp_(variance.detach() * (total / (total - 1)), self.momentum or 0.0)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class PixelNorm(nn.Module):
    """Module form of :func:`pixel_norm`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` normalised at every pixel."""
        return pixel_norm(x)
