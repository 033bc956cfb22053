"""One step of training: the net, its average, its optimizer, and the discriminator where there is one."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from celebahq_tools.restore.training.config import RestoreTrainConfig
from celebahq_tools.restore.training.discriminator import PatchDiscriminator
from celebahq_tools.restore.training.losses import (
    discriminator_loss,
    generator_loss,
    matching_loss,
    measure_distance,
    measure_log_error,
    measure_tempered_distance,
)
from celebahq_tools.restore.training.muon import Muon

_BETAS = (0.9, 0.99)
# Convolutions from or to fewer maps than this are those from and to pixels, which Muon is not meant for.
_FEW = 13
# Adam's rate beside Muon's: Muon stands a multiple of what Adam does.
_ADAM_PART = 1.0


class Stepper:
    """Everything that training changes.

    Args:
        config: Rates and weights.
        net: The net to train, in training mode.
        device: Where it is trained.
    """

    def __init__(self, config: RestoreTrainConfig, net: nn.Module, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.net = _channels_last(net.to(device))
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimizers = _build_optimizers(config, self.net)
        self.discriminator: PatchDiscriminator | None = None
        self.d_optimizer: torch.optim.Adam | None = None
        if config.is_adversarial:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                self.discriminator = PatchDiscriminator(config.discriminator_width).to(device)
            self.d_optimizer = torch.optim.Adam(
                self.discriminator.parameters(), lr=config.discriminator_rate, betas=_BETAS
            )

    def run(self, step: int, damaged: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
        """Train on one batch.

        Args:
            step: Steps done before, from 0.
            damaged, truth: RGB in [0, 1], (N, 3, h, w) and (N, 3, h * scale, w * scale).
        Returns:
            Losses by name.
        """
        factor = scale_rate(self.config, step)
        damaged, truth = damaged.to(self.device), truth.to(self.device)
        restored = self.net(damaged)
        figures = {"distance": measure_distance(restored, truth)}
        loss = figures["distance"]
        if self.config.loss == "psnr":
            figures["log_error"] = loss = measure_log_error(restored, truth)
        elif self.config.task == "dejpeg":
            figures["tempered"] = loss = measure_tempered_distance(restored, truth, damaged, self.config.temper)
        if self.discriminator is not None and self.d_optimizer is not None:
            for group in self.d_optimizer.param_groups:
                group["lr"] = self.config.discriminator_rate * factor
            figures |= self._train_discriminator(self.discriminator, self.d_optimizer, restored.detach(), truth)
            self.discriminator.requires_grad_(False)
            with torch.no_grad():
                real, real_features = self.discriminator(truth)
            fake, fake_features = self.discriminator(restored)
            figures["adversarial"] = generator_loss(real, fake)
            figures["matching"] = matching_loss(real_features, fake_features)
            loss = loss + self.config.adversarial * figures["adversarial"] + self.config.matching * figures["matching"]
            self.discriminator.requires_grad_(True)
        self.net.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            optimizer.step()
        self._update_average(step)
        return {name: float(value.detach()) for name, value in figures.items()}

    @staticmethod
    def _train_discriminator(
        net: PatchDiscriminator, optimizer: torch.optim.Adam, fake: torch.Tensor, real: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        loss = discriminator_loss(net(real)[0], net(fake)[0])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return {"discriminator": loss}

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        # A short memory at first: the average must not hold on to random weights.
        decay = min(self.config.average, (1 + step) / (10 + step))
        for mean, value in zip(self.average.parameters(), self.net.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)


def scale_rate(config: RestoreTrainConfig, step: int) -> float:
    """Return the factor of the learning rates at a step: up along a line, level, down along a cosine.

    Unlike one long cosine, the level part does not depend on the number of steps, so that a run can be made longer.
    """
    rise = min(1.0, (step + 1) / max(config.warmup, 1))
    start = config.steps * (1 - config.decay)
    if step <= start:
        return rise
    return rise * 0.5 * (1 + math.cos(math.pi * (step - start) / max(config.steps - start, 1)))


def _build_optimizers(config: RestoreTrainConfig, net: nn.Module) -> dict[str, torch.optim.Optimizer]:
    """Return the optimizers of a net by name: Adam for all, or for all but the 3x3 convolutions between features."""
    parameters = list(net.parameters())
    if config.optimizer == "adam":
        return {"adam": _build_adam(parameters, config.rate)}
    matrices = [p for p in parameters if p.dim() == 4 and min(p.shape[:2]) > _FEW]
    chosen = {id(p) for p in matrices}
    rest = [p for p in parameters if id(p) not in chosen]
    muon = Muon([{"params": matrices, "initial_lr": config.rate}], lr=config.rate)
    return {"muon": muon, "adam": _build_adam(rest, config.rate * _ADAM_PART)}


def _build_adam(parameters: list[nn.Parameter], rate: float) -> torch.optim.Adam:
    return torch.optim.Adam([{"params": parameters, "initial_lr": rate}], lr=rate, betas=_BETAS)


def _channels_last(net: nn.Module) -> nn.Module:
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # absent from torch's stubs
    return net
