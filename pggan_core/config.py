"""Everything a training run is told, as one flat frozen dataclass: what presets, files and flags fill in."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from celebahq_tools.errors import ConfigError, suggest
from pggan_core.architecture import Activation, NetworkConfig, Norm
from pggan_core.losses import LOSSES, LossConfig
from pggan_core.schedule import ScheduleConfig


@dataclass(frozen=True)
class TrainConfig:
    """A training run. Network, loss and schedule settings are explained at the dataclasses they fill.

    Attributes:
        data: HDF5 file, folder of images, or StyleGAN zip.
        resolution: Shorter side to train up to; 0 takes the dataset's.
        kimg: Length in thousands of real images.
        conditional: Use the dataset's labels (AC-GAN).
        mirror: Flip half of the reals left to right.
        seed: Seed of weights, latents, data order and mirroring.
        n_critic: Discriminator steps per generator step.
        joint_update: Compute both updates before applying either (CIFAR-10 preset).
        share_latents: Train the generator on the images the discriminator has just seen, which saves drawing them
            again; otherwise from fresh latents, as the original does.
        beta1, beta2, eps: Adam.
        ema: Decay of the running average of the generator per step.
        full_resolution_penalty: Measure the gradient penalty on the full-resolution image (TensorFlow program).
        tick_kimg: Thousands of images between log lines; 0 takes the original's 160 at 4x4 down to 10 at 1024x1024.
        snapshot_kimg: Thousands of images between sample grids and checkpoints; 0 for every tick.
        keep: Checkpoints kept, newest first.
        metrics: Scores to compute, by their names.
        every: Thousands of images between scores; 0 for only at start and end.
        metric_images: Images per score; 0 takes the dataset, at most 16,384.
        workers: Processes that read and decode images; 0 for a thread, -1 to choose by the machine.
        device: ``cpu``, ``cuda`` or ``auto``.
        precision: Arithmetic of the networks.
        compile: Use torch.compile where no second derivative is taken.
        max_skipped: Steps in a row that may be skipped for non-finite gradients before the run counts as diverged.
    """

    data: str = ""
    resolution: int = 0
    kimg: float = 19000.0
    conditional: bool = False
    mirror: bool = False
    seed: int = 1000
    latent_size: int = 512
    normalize_latents: bool = True
    fmap_base: int = 8192
    fmap_max: int = 512
    d_fmap_base: int = 0
    convs_per_block: Literal[1, 2] = 2
    equalized: bool = True
    g_norm: Norm = "pixel"
    d_norm: Norm = "none"
    g_activation: Activation = "lrelu"
    g_tanh: bool = False
    stddev: Literal["batch", "groups", "none"] = "batch"
    discrimination_kernels: int = 0
    fused_downscale: bool = True
    loss: str = "wgan-gp"
    penalty_weight: float = 10.0
    penalty_target: float = 1.0
    drift: float = 0.001
    full_resolution_penalty: bool = False
    grow: bool = True
    stable_kimg: float = 800.0
    fade_kimg: float = 800.0
    batch: int = 16
    batch_at: tuple[str, ...] = ("256:14", "512:6", "1024:3")
    lr: float = 0.001
    lr_at: tuple[str, ...] = ()
    rampup_kimg: float = 0.0
    n_critic: int = 1
    joint_update: bool = False
    share_latents: bool = True
    beta1: float = 0.0
    beta2: float = 0.99
    eps: float = 1e-8
    ema: float = 0.999
    tick_kimg: float = 0.0
    snapshot_kimg: float = 0.0
    keep: int = 3
    metrics: tuple[str, ...] = ()
    every: float = 0.0
    metric_images: int = 0
    workers: int = -1
    device: str = "auto"
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    compile: bool = False
    max_skipped: int = 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{field.name} {value}: must be a finite number")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed}: must be at least 0 and below 2**63")
        if self.discrimination_kernels < 0:
            raise ConfigError(f"discrimination_kernels {self.discrimination_kernels}: must be at least 0")
        if self.loss not in LOSSES:
            raise ConfigError(f"unknown loss {self.loss!r}{suggest(self.loss, LOSSES)}")
        positive = {"kimg": self.kimg, "n_critic": self.n_critic, "keep": self.keep, "max_skipped": self.max_skipped}
        for name, value in positive.items():
            if not value > 0:
                raise ConfigError(f"{name} {value}: must be positive")
        for name, value in {"beta1": self.beta1, "beta2": self.beta2, "ema": self.ema}.items():
            if not 0 <= value < 1:
                raise ConfigError(f"{name} {value}: must be at least 0 and below 1")
        if self.resolution < 0 or self.tick_kimg < 0 or min(self.snapshot_kimg, self.every, self.metric_images) < 0:
            raise ConfigError("resolution, tick_kimg, snapshot_kimg, every and metric_images must be at least 0")
        if self.penalty_target <= 0:
            raise ConfigError(f"penalty_target {self.penalty_target}: must be positive")
        self.schedule(0)  # Checks batch and learning rate settings.

    def network(self, *, levels: int, base_height: int, base_width: int, channels: int, labels: int) -> NetworkConfig:
        """Return the shape of the networks for images of a dataset."""
        return NetworkConfig(
            levels=levels,
            base_height=base_height,
            base_width=base_width,
            channels=channels,
            labels=labels,
            latent_size=self.latent_size,
            normalize_latents=self.normalize_latents,
            fmap_base=self.fmap_base,
            fmap_max=self.fmap_max,
            d_fmap_base=self.d_fmap_base,
            convs_per_block=self.convs_per_block,
            equalized=self.equalized,
            g_norm=self.g_norm,
            d_norm=self.d_norm,
            g_activation=self.g_activation,
            g_tanh=self.g_tanh,
            stddev=self.stddev,
            discrimination_kernels=self.discrimination_kernels,
            fused_downscale=self.fused_downscale,
        )

    def schedule(self, levels: int) -> ScheduleConfig:
        """Return the schedule for networks of a number of levels."""
        return ScheduleConfig(
            levels=levels,
            grow=self.grow,
            stable_kimg=self.stable_kimg,
            fade_kimg=self.fade_kimg,
            batch=self.batch,
            batch_at=self.batch_at,
            lr=self.lr,
            lr_at=self.lr_at,
            rampup_kimg=self.rampup_kimg,
        )

    def loss_weights(self) -> LossConfig:
        """Return the weights of the loss terms."""
        return LossConfig(self.penalty_weight, self.penalty_target, self.drift)
