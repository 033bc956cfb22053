"""The generator as an ONNX file, for programs without torch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import ConfigError
from pggan_core.generator_file import TrainedGenerator
from pggan_core.layers import Conv, Projection, activate, pixel_norm, upsample

# Largest difference to torch's images, which range over 2, that an exported file may have.
TOLERANCE = 1e-4
_OPSET = 18
_HELP = "ONNX files need onnx, onnxscript and onnxruntime; run: pip install 'celebahq-tools[onnx]'"


class PlainGenerator(nn.Module):
    """The generator at one place of its training, in operations that every exporter knows.

    The factors of the equalised learning rate are multiplied into the weights, and how images are resized does not
    depend on the size of the batch.

    Args:
        trained: The generator, with the level and fade to draw.
    """

    def __init__(self, trained: TrainedGenerator) -> None:
        super().__init__()
        generator = trained.network
        self._config, self._alpha = generator.config, trained.alpha
        used = range(trained.level + 1)
        self.project = _PlainProjection(generator.project)
        self.project_norm = generator.project_norm
        self.convs = nn.ModuleList(
            nn.ModuleList(_PlainConv(conv) for conv in generator.convs[level].children()) for level in used
        )
        self.norms = nn.ModuleList(generator.norms[level] for level in used)
        self.to_rgb = _PlainConv(generator.to_rgb[trained.level])
        fades = trained.level > 0 and trained.alpha < 1
        self.old_rgb = _PlainConv(generator.to_rgb[trained.level - 1]) if fades else None

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images (N, C, H, W) in about [-1, 1] of latents (N, latent_size) and one-hot labels."""
        x = latents if labels is None else torch.cat([latents, labels], dim=1)
        if self._config.normalize_latents:
            x = pixel_norm(x)
        x = previous = self._finish(self.project(x), self.project_norm)
        for convs, norms in zip(self.convs, self.norms, strict=True):
            previous = x
            for conv, norm in zip(convs, norms, strict=True):  # type: ignore[call-overload]
                x = self._finish(conv(x), norm)
        image: Tensor = self.to_rgb(x)
        if self.old_rgb is not None:
            image = (1 - self._alpha) * upsample(self.old_rgb(previous)) + self._alpha * image
        return image.tanh() if self._config.g_tanh else image

    def _finish(self, x: Tensor, norm: nn.Module) -> Tensor:
        if self._config.g_norm == "pixel":
            normalised: Tensor = norm(activate(x, self._config.g_activation))
            return normalised
        return activate(norm(x), self._config.g_activation)


class _PlainProjection(nn.Module):
    def __init__(self, layer: Projection) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight * layer.scale, requires_grad=False)
        self.bias = nn.Parameter(layer.bias.view(1, -1, 1, 1).clone(), requires_grad=False)
        self._grid = layer.grid

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight).view(-1, *self._grid) + self.bias


class _PlainConv(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        if not isinstance(layer, Conv):
            raise TypeError(f"expected a Conv, got {type(layer).__name__}")
        self.weight = nn.Parameter(layer.weight * layer.scale, requires_grad=False)
        self.bias = nn.Parameter(layer.bias.clone(), requires_grad=False)
        self._enlarges, self._padding = layer.resize == "up", layer.padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(upsample(x) if self._enlarges else x, self.weight, self.bias, padding=self._padding)


def write_onnx(path: Path, trained: TrainedGenerator) -> None:
    """Write the generator as ONNX: whole or absent, weights inside.

    Inputs ``latents`` (n, latent_size) float32, N(0, 1), and, in networks with labels, ``labels`` (n, classes) one-hot;
    output ``images`` (n, C, H, W) float32, to be mapped to pixels by ``clip(round((x + 1) * 127.5), 0, 255)``. The
    metadata entry ``pggan`` says so as JSON.

    Args:
        path: File to write.
        trained: The generator, with the level and fade to draw.
    Raises:
        ConfigError: If the packages are not installed.
        OSError: If the file cannot be written.
    """
    try:
        import onnx  # noqa: F401 - the exporter needs both
        import onnxscript  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigError(_HELP) from None
    config = trained.network.config
    inputs: dict[str, Tensor] = {"latents": torch.zeros(2, config.latent_size)}
    if config.labels:
        inputs["labels"] = torch.zeros(2, config.labels)
    batch = torch.export.Dim("n", min=1)
    with _quietly():
        program: Any = torch.onnx.export(
            PlainGenerator(trained).eval(),
            tuple(inputs.values()),
            dynamo=True,
            verbose=False,
            opset_version=_OPSET,
            input_names=list(inputs),
            output_names=["images"],
            dynamic_shapes=tuple({0: batch} for _ in inputs),
        )
        channels, height, width = trained.shape
        program.model.metadata_props["pggan"] = json.dumps(
            {
                "latent_size": config.latent_size,
                "labels": config.labels,
                "image": [channels, height, width],
                "pixels": "clip(round((x + 1) * 127.5), 0, 255)",
                "images_shown": trained.images_shown,
            }
        )
        with write_atomically(path) as temporary:
            program.save(str(temporary), external_data=False)


def compare_onnx(path: Path, trained: TrainedGenerator, *, count: int = 3, seed: int = 0) -> float | None:
    """Return the largest difference between the images of an ONNX file and the generator's own.

    Args:
        path: File of :func:`write_onnx`.
        trained: What it was made from.
        count: Images to compare.
        seed: Of their latents.
    Returns:
        In units of the image's range of 2; None if onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return None
    config = trained.network.config
    rng = np.random.default_rng(seed)
    feeds = {"latents": rng.standard_normal((count, config.latent_size), dtype=np.float32)}
    if config.labels:
        feeds["labels"] = np.eye(config.labels, dtype=np.float32)[np.arange(count) % config.labels]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (images,) = session.run(["images"], feeds)
    with torch.inference_mode():
        own = trained.network(*map(torch.from_numpy, feeds.values()), level=trained.level, alpha=trained.alpha)
    return float(np.abs(images - own.numpy()).max())


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter from talking about its own progress and parts."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
