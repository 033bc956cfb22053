"""One training step of both networks: losses, gradients, Adam, and the running average of the generator."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pggan_core.config import TrainConfig
from pggan_core.distributed import SOLO, Ranks, Share
from pggan_core.layers import BatchNorm, NoiseSource
from pggan_core.losses import LOSSES
from pggan_core.losses.acgan import label_loss
from pggan_core.networks import Discriminator, Generator
from pggan_core.schedule import SchedulePoint

# This process's real images (N, C, H, W) in [-1, 1] with their one-hot labels.
Batch = tuple[Tensor, Tensor | None]
NextBatch = Callable[[], Batch]


@dataclass(frozen=True)
class StepReport:
    """Means over the last minibatch of all processes, for logs.

    Attributes:
        g_loss, d_loss: Losses, d_loss with penalty and label terms.
        real_score, fake_score: Discriminator outputs.
        penalty: Gradient penalty.
        images: Real images shown.
        skipped: Updates left out because a gradient was not finite.
    """

    g_loss: float
    d_loss: float
    real_score: float
    fake_score: float
    penalty: float
    images: int
    skipped: int


class Stepper:
    """Both networks with their optimisers.

    Args:
        config: The run.
        generator, discriminator, average: Networks on ``device``; ``average`` is the generator's running average.
        device: Where to compute.
        rng: Source of latents, mixing and noise, on ``device``; the same on all ranks.
        ranks: The processes that share every minibatch; all take the same steps.
    """

    def __init__(
        self,
        config: TrainConfig,
        generator: Generator,
        discriminator: Discriminator,
        average: Generator,
        *,
        device: torch.device,
        rng: torch.Generator,
        ranks: Ranks = SOLO,
    ) -> None:
        self.config = config
        self.generator, self.discriminator, self.average = generator, discriminator, average
        self.device = device
        self.rng = rng
        self.ranks = ranks
        for module in [*generator.modules(), *discriminator.modules()]:
            if isinstance(module, BatchNorm):
                module.ranks = ranks
        self.loss = LOSSES.load(config.loss)(config.loss_weights())
        self.g_optimizer = self._make_adam(generator)
        self.d_optimizer = self._make_adam(discriminator)
        # Second derivatives cannot be compiled: the penalty always runs the plain discriminator.
        self._draw = torch.compile(generator) if config.compile else generator
        self._judge = torch.compile(discriminator) if config.compile else discriminator

    def reset_optimizers(self) -> None:
        """Forget Adam's moments, as at every change of the networks."""
        self.g_optimizer.state.clear()
        self.d_optimizer.state.clear()

    def run(self, next_batch: NextBatch, point: SchedulePoint) -> StepReport:
        """Train the discriminator ``n_critic`` times and the generator once.

        Args:
            next_batch: Gives this process's real images at the point's resolution, already cross-faded.
            point: Level, alpha and learning rate.
        Returns:
            What happened.
        """
        for optimizer in (self.g_optimizer, self.d_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = point.lr
        config = self.config
        images = skipped = 0
        for repeat in range(config.n_critic):
            reals, labels = next_batch()
            share = self.ranks.share(len(reals) if self.ranks.count == 1 else point.batch)
            images += share.total
            last = repeat == config.n_critic - 1
            # The generator's graph is needed only if its step uses these same images.
            with self._precision(), torch.set_grad_enabled(last and config.share_latents):
                fakes = self._draw(self._draw_latents(share), labels, level=point.level, alpha=point.alpha)
            d_terms = self._backward_discriminator(reals, fakes.detach(), labels, point, share)
            if not (last and config.joint_update):
                skipped += not self._apply(self.d_optimizer, self.discriminator)
        if not config.share_latents:
            with self._precision():
                fakes = self._draw(self._draw_latents(share), labels, level=point.level, alpha=point.alpha)
        # Gradients of the discriminator's weights would be thrown away: do not compute them.
        self.discriminator.requires_grad_(False)
        g_loss = self._backward_generator(fakes, labels, point, share)
        self.discriminator.requires_grad_(True)
        if config.joint_update:
            skipped += not self._apply(self.d_optimizer, self.discriminator)
        active = [parameter.grad is not None for parameter in self.generator.parameters()]
        if self._apply(self.g_optimizer, self.generator):
            self._follow(active)
        else:
            skipped += 1
        return StepReport(g_loss, *d_terms, images=images, skipped=skipped)

    def _backward_discriminator(
        self, reals: Tensor, fakes: Tensor, labels: Tensor | None, point: SchedulePoint, share: Share
    ) -> tuple[float, float, float, float]:
        level, alpha = point.level, point.alpha
        noise = NoiseSource(self.loss.noise_strength, self.rng, share)
        with self._precision():
            if self.discriminator.joins_batches:
                joined = torch.cat([reals, fakes])
                scores, logits = self._judge(joined, level=level, alpha=alpha, noise=noise, batches=2, share=share)
                (real_scores, fake_scores), (real_logits, fake_logits) = scores.float().chunk(2), logits.chunk(2)
            else:
                real_scores, real_logits = self._judge(reals, level=level, alpha=alpha, noise=noise, share=share)
                fake_scores, fake_logits = self._judge(fakes, level=level, alpha=alpha, noise=noise, share=share)
                real_scores, fake_scores = real_scores.float(), fake_scores.float()
        losses = self.loss.discriminator(real_scores, fake_scores)
        if labels is not None:
            losses = losses + label_loss(real_logits.float(), labels) + label_loss(fake_logits.float(), labels)
        # Two backward passes instead of one over the sum: the graphs are never in memory together.
        torch.autograd.backward(share.mean(losses))
        penalties = self._backward_penalty(reals, fakes, noise, point, share)
        terms = torch.stack([losses.detach(), real_scores.detach(), fake_scores.detach(), penalties], dim=1)
        whole = share.gather(terms)
        self.loss.observe(whole[:, 1], whole[:, 2])
        loss, real_score, fake_score, penalty = whole.mean(dim=0).tolist()
        return loss + penalty, real_score, fake_score, penalty

    def _backward_penalty(
        self, reals: Tensor, fakes: Tensor, noise: NoiseSource, point: SchedulePoint, share: Share
    ) -> Tensor:
        def score(images: Tensor) -> Tensor:
            with self._precision():
                scores, _ = self.discriminator(images, level=point.level, alpha=point.alpha, noise=noise, share=share)
            result: Tensor = scores.float()
            return result

        missing = self.generator.config.levels - point.level
        penalty = self.loss.penalty(
            score,
            reals,
            fakes,
            mix=share.pick(torch.rand(share.total, generator=self.rng, device=self.device)),
            gradient_scale=0.5**missing if self.config.full_resolution_penalty else 1.0,
        )
        if penalty is None:
            return torch.zeros(len(reals), device=self.device)
        torch.autograd.backward(share.mean(penalty))
        return penalty.detach()

    def _backward_generator(self, fakes: Tensor, labels: Tensor | None, point: SchedulePoint, share: Share) -> float:
        noise = NoiseSource(self.loss.noise_strength, self.rng, share)
        with self._precision():
            scores, logits = self._judge(fakes, level=point.level, alpha=point.alpha, noise=noise, share=share)
        losses = self.loss.generator(scores.float())
        if labels is not None:
            losses = losses + label_loss(logits.float(), labels)
        torch.autograd.backward(share.mean(losses))
        return float(share.gather(losses.detach()).mean())

    def _draw_latents(self, share: Share) -> Tensor:
        size = self.generator.config.latent_size
        return share.pick(torch.randn(share.total, size, generator=self.rng, device=self.device))

    def _apply(self, optimizer: torch.optim.Adam, network: nn.Module) -> bool:
        """Take a step if all gradients are finite; clear them either way.

        The sum over ranks carries what is not finite to all of them, so that they decide alike.
        """
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        self.ranks.add_in_place(gradients)
        finite = bool(torch.stack(torch._foreach_norm(gradients)).isfinite().all())
        if finite:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return finite

    @torch.no_grad()
    def _follow(self, active: list[bool]) -> None:
        """Move the running average towards the generator, where it has just changed."""
        pairs = zip(self.average.parameters(), self.generator.parameters(), active, strict=True)
        ours, theirs = zip(*((mine, new) for mine, new, used in pairs if used), strict=True)
        torch._foreach_lerp_(ours, theirs, 1 - self.config.ema)
        for mine, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            mine.copy_(new)

    def _make_adam(self, network: nn.Module) -> torch.optim.Adam:
        config = self.config
        return torch.optim.Adam(
            network.parameters(), lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True
        )

    def _precision(self) -> AbstractContextManager[object]:
        if self.config.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()
