"""A small classifier of MNIST digits for the discrete mode test: the net, its training, and its shipped weights."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from celebahq_tools.errors import ShapeError, WeightsError
from gan_metrics.base import Progress
from gan_metrics.device import find_device

SIDE = 28
_FILE = "digit_classifier.safetensors"
_BATCH = 128
_SHIFT = 2
_TURN = 0.18
# Input and output channels, kernel, and whether a 2x2 pooling follows.
_LAYERS = ((1, 16, 5, True), (16, 32, 3, False), (32, 32, 3, True), (32, 64, 3, False))


class DigitClassifier(nn.Module):
    """Five convolutions with batch normalisation, two poolings, global average, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, kernel, pool in [
            (1, 16, 5, True),
            (16, 32, 3, False),
            (32, 32, 3, True),
            (32, 64, 3, False),
        ]:
            layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)] if pool else [nn.ReLU()]
        layers += [nn.Conv2d(64, 64, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10))

    def forward(self, digits: Tensor) -> Tensor:
        """Return logits (N, 10) of digits (N, 1, 28, 28) in 0..1."""
        logits: Tensor = self.body(digits)
        return logits

    @torch.inference_mode()
    def predict(self, digits: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the class of each digit.

        Args:
            digits: (N, 28, 28) uint8, white on black.
        """
        device = next(self.parameters()).device
        parts = []
        for start in range(0, len(digits), 1024):
            pixels = torch.from_numpy(np.array(digits[start : start + 1024])).to(device)
            parts.append(self(pixels[:, None].float() / 255).argmax(dim=1).cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def train_classifier(
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    *,
    epochs: int = 10,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> DigitClassifier:
    """Return a classifier trained on digits that are shifted by up to 2 pixels and turned by up to about 10 degrees.

    Adam with a one-cycle learning rate up to 0.004, batches of 128, cross-entropy with label smoothing 0.05.

    Args:
        images, labels: (N, 28, 28) and (N,) uint8.
        epochs: Passes over the digits; a pass takes about half a minute of one CPU core.
        seed: Of initial weights, order and augmentation.
        device: Torch device.
        progress: Called with (batches done, batches in all).
    Raises:
        ShapeError: If the arrays are of another shape.
    """
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or labels.shape != (len(images),):
        raise ShapeError(f"expected digits (N, {SIDE}, {SIDE}) and labels (N,), got {images.shape} and {labels.shape}")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        place = find_device(device)
        net = DigitClassifier().to(place)
        pixels, targets = torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))
        steps = epochs * -(-len(images) // _BATCH)
        optimiser = torch.optim.Adam(net.parameters(), lr=0.004)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.004, total_steps=steps, pct_start=0.2)
        done = 0
        for _ in range(epochs):
            for chosen in torch.split(torch.randperm(len(pixels), generator=generator), _BATCH):
                digits = _augment(pixels[chosen][:, None].float() / 255, generator).to(place)
                loss = F.cross_entropy(net(digits), targets[chosen].to(place), label_smoothing=0.05)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                done += 1
                if progress is not None:
                    progress(done, steps)
    return net.eval().requires_grad_(False)


def encode_classifier(net: DigitClassifier, description: dict[str, str]) -> bytes:
    """Return the weights as safetensors in float16, with a description of data and recipe."""
    state = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in net.cpu().state_dict().items()
    }
    return save(state, metadata=description)


def load_classifier(path: Path | None = None) -> tuple[DigitClassifier, dict[str, str]]:
    """Return a classifier in evaluation mode and the description in its file.

    Args:
        path: Weights saved by ``swd modes --train-classifier``; the shipped ones when omitted.
    Raises:
        WeightsError: If the file is missing or not of this net.
    """
    if path is None:
        with resources.as_file(resources.files("gan_metrics") / "data" / _FILE) as shipped:
            return load_classifier(shipped)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; make one with `swd modes --train-classifier --mnist DIR`")
    net = DigitClassifier()
    try:
        with safe_open(path, framework="pt") as file:
            description = dict(file.metadata() or {})
            net.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, RuntimeError, OSError) as error:
        raise WeightsError(f"{path}: not weights of the digit classifier ({str(error).splitlines()[0]})") from None
    return net.eval().requires_grad_(False), description


def _augment(digits: Tensor, generator: torch.Generator) -> Tensor:
    """Return digits each shifted and turned by a random amount."""
    count = len(digits)
    angle = (torch.rand(count, generator=generator) * 2 - 1) * _TURN
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * (2 * _SHIFT / SIDE)
    turn = torch.stack([angle.cos(), -angle.sin(), shift[:, 0], angle.sin(), angle.cos(), shift[:, 1]], dim=1)
    grid = F.affine_grid(turn.reshape(count, 2, 3), list(digits.shape), align_corners=False)
    return F.grid_sample(digits, grid, align_corners=False)
