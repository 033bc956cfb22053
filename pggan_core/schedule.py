"""What to train at any moment, as a pure function of the number of real images shown to the discriminator."""

from __future__ import annotations

import math
from dataclasses import dataclass

from celebahq_tools.errors import ConfigError


@dataclass(frozen=True)
class ScheduleConfig:
    """When the networks grow, and with which batch and learning rate.

    Attributes:
        levels: Doublings from the base grid to full resolution.
        grow: Start at the base grid; otherwise train at full resolution from the first image.
        stable_kimg, fade_kimg: Thousands of images to train each resolution, and to fade in the next.
        batch: Minibatch size.
        batch_at: ``"resolution:size"`` exceptions, such as ``"256:14"``.
        lr: Learning rate of both networks.
        lr_at: ``"resolution:rate"`` exceptions.
        rampup_kimg: Length of the first ramp exp(-5 (1 - t)^2) of the learning rate; 0 for none.
    """

    levels: int
    grow: bool = True
    stable_kimg: float = 800.0
    fade_kimg: float = 800.0
    batch: int = 16
    batch_at: tuple[str, ...] = ()
    lr: float = 0.001
    lr_at: tuple[str, ...] = ()
    rampup_kimg: float = 0.0

    def __post_init__(self) -> None:
        if self.batch < 1 or not self.lr > 0:
            raise ConfigError(f"batch {self.batch} and lr {self.lr} must be positive")
        if self.stable_kimg < 0 or self.fade_kimg < 0 or (self.stable_kimg + self.fade_kimg == 0 and self.grow):
            raise ConfigError("stable_kimg and fade_kimg must be at least 0, and not both 0")
        for size in parse_exceptions(self.batch_at, "batch_at").values():
            if size < 1 or size != int(size):
                raise ConfigError(f"batch_at: {size} is not a whole positive minibatch size")
        if any(rate <= 0 for rate in parse_exceptions(self.lr_at, "lr_at").values()):
            raise ConfigError("lr_at: learning rates must be positive")


@dataclass(frozen=True)
class SchedulePoint:
    """The schedule at one moment.

    Attributes:
        level: Resolution in use, 0 is the base grid.
        resolution: 4 * 2^level, the side of a square image.
        alpha: Weight of the newest level, (0, 1].
        lod: The original's name for the same: levels - level + (1 - alpha).
        stage: Counts changes of the networks; the optimiser starts afresh with each.
        reset_optimizer: Whether this step is the first of its stage.
        batch: Minibatch size.
        lr: Learning rate.
    """

    level: int
    resolution: int
    alpha: float
    lod: float
    stage: int
    reset_optimizer: bool
    batch: int
    lr: float


def schedule_at(config: ScheduleConfig, images_shown: int, previously_shown: int | None = None) -> SchedulePoint:
    """Return what to train after a number of images.

    Args:
        config: The schedule.
        images_shown: Real images shown so far.
        previously_shown: Images shown when the step before this one began; None for the first step.
    Returns:
        The point; the same arguments always give the same point.
    """
    kimg = images_shown / 1000
    lod, stage = _find_lod(config, kimg)
    missing = math.floor(lod)
    level = config.levels - missing
    resolution = 4 << level
    lr = parse_exceptions(config.lr_at, "lr_at").get(resolution, config.lr)
    if kimg < config.rampup_kimg:
        lr *= math.exp(-5 * (1 - kimg / config.rampup_kimg) ** 2)
    return SchedulePoint(
        level=level,
        resolution=resolution,
        alpha=1 - (lod - missing),
        lod=lod,
        stage=stage,
        reset_optimizer=previously_shown is not None and _find_lod(config, previously_shown / 1000)[1] != stage,
        batch=int(parse_exceptions(config.batch_at, "batch_at").get(resolution, config.batch)),
        lr=lr,
    )


def parse_exceptions(entries: tuple[str, ...], where: str) -> dict[int, float]:
    """Return ``{resolution: value}`` of ``"resolution:value"`` entries.

    Raises:
        ConfigError: If an entry is not of that form.
    """
    found: dict[int, float] = {}
    for entry in entries:
        resolution, _, value = entry.partition(":")
        try:
            found[int(resolution)] = float(value)
        except ValueError:
            raise ConfigError(f"{where}: {entry!r} is not 'resolution:value', such as '256:14'") from None
    return found


def _find_lod(config: ScheduleConfig, kimg: float) -> tuple[float, int]:
    """Return the level of detail still missing, and the number of stages passed (stable and fading alternate)."""
    if not config.grow:
        return 0.0, 0
    period = config.stable_kimg + config.fade_kimg
    passed = math.floor(kimg / period)
    if passed >= config.levels:
        return 0.0, 2 * config.levels
    into_fade = kimg - passed * period - config.stable_kimg
    if into_fade <= 0:
        return float(config.levels - passed), 2 * passed
    return config.levels - passed - into_fade / config.fade_kimg, 2 * passed + 1
