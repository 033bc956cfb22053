"""Settings of a training run of a restoration net."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from celebahq_tools.errors import ConfigError, suggest
from celebahq_tools.restore import rednet, srnet
from celebahq_tools.restore.training.degradations import USUAL_ODDS

Task: TypeAlias = Literal["dejpeg", "sr"]
TASKS: tuple[Task, ...] = get_args(Task)
OPTIMIZERS = ("muon", "adam")
LOSSES = ("distance", "psnr")
DEFAULT_NETS: dict[Task, str] = {"dejpeg": "rednet-s", "sr": "srres-s"}
_VARIANTS: dict[Task, tuple[str, ...]] = {"dejpeg": tuple(rednet.VARIANTS), "sr": tuple(srnet.VARIANTS)}


@dataclass(frozen=True)
class RestoreTrainConfig:
    """Everything that decides what a run does.

    Attributes:
        task: What the net is to do: ``dejpeg`` or ``sr``.
        photos: Folders of photographs, searched recursively.
        run_dir: Folder of the run: checkpoints, curve, weights.
        net: Size of the net, by name; None takes the task's usual one.
        validation: Folders of photographs to measure on; None keeps every tenth training photograph for that.
        init: Weight file to start from instead of random weights.
        steps: Steps in all. A finished run goes on when it is resumed with a larger number.
        batch: Patches per step.
        patch: Side of the patches as the net sees them, in pixels.
        optimizer: ``muon`` or ``adam``.
        rate: Learning rate.
        warmup: Steps over which the rate rises.
        decay: Part of the steps, at the end, over which the rate falls to nothing along a cosine.
        average: Decay per step of the running average of the weights, which is what is measured and exported.
        loss: ``distance``, or ``psnr``, the logarithm of the squared error.
        temper: For ``dejpeg`` by distance: power of a patch's damage by which its distance to the truth is divided.
        adversarial: Weight of the adversarial loss; 0 trains on the distance to the truth alone.
        matching: Weight of the distance between the discriminator's features of output and truth.
        discriminator_rate: Learning rate of the discriminator.
        discriminator_width: Feature maps of its first convolution.
        downscale: Photographs are reduced at least this many times, so that their own JPEG artifacts go.
        min_side: Photographs whose reduced shorter side would fall below this are passed over.
        vary: How often clean pieces are made softer, of other tones and of other colours, each.
        strong_odds: For ``dejpeg``: how often the JPEG quality is drawn evenly over its logarithm, which favours strong
            compression, rather than over its range, 5 to 95.
        middle_odds: For ``dejpeg``: how often it is drawn evenly from 15 to 80 instead of either.
        jpeg_odds: For ``sr``: how often the small image is JPEG-compressed.
        dejpeg: For ``sr``: name or file of a restorer that half of the compressed small images pass through, as in a
            build; ``none`` trains on bare ones.
        seed: Seed of everything random.
        checkpoint_every, validate_every: Steps between checkpoints and between measurements.
        keep: Checkpoints kept.
    """

    task: Task
    photos: tuple[Path, ...]
    run_dir: Path
    net: str | None = None
    validation: tuple[Path, ...] | None = None
    init: Path | None = None
    steps: int = 20_000
    batch: int = 8
    patch: int = 64
    optimizer: str = "muon"
    rate: float = 1e-3
    warmup: int = 200
    decay: float = 0.4
    average: float = 0.999
    loss: str = "distance"
    temper: float = 0.5
    adversarial: float = 0.0
    matching: float = 0.0
    discriminator_rate: float = 2e-4
    discriminator_width: int = 32
    downscale: float = 2.0
    min_side: int = 128
    vary: float = 0.0
    strong_odds: float = USUAL_ODDS.strong
    middle_odds: float = USUAL_ODDS.middle
    jpeg_odds: float = 0.7
    dejpeg: str = "none"
    seed: int = 0
    checkpoint_every: int = 1000
    validate_every: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigError(f"task {self.task!r}{suggest(self.task, TASKS)}")
        if self.net is None:
            object.__setattr__(self, "net", DEFAULT_NETS[self.task])
        known = _VARIANTS[self.task]
        if self.net not in known:
            raise ConfigError(f"net {self.net!r} is none for {self.task}{suggest(str(self.net), known)}")
        if self.optimizer not in OPTIMIZERS:
            raise ConfigError(f"optimizer {self.optimizer!r}{suggest(self.optimizer, OPTIMIZERS)}")
        if self.loss not in LOSSES:
            raise ConfigError(f"loss {self.loss!r}{suggest(self.loss, LOSSES)}")
        for name in ("steps", "batch", "checkpoint_every", "validate_every", "keep", "discriminator_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: must be at least 1")
        for name in ("rate", "discriminator_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: must lie between 0 and 1")
        for name in ("decay", "average", "temper", "vary", "strong_odds", "middle_odds", "jpeg_odds"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} {getattr(self, name)}: must lie between 0 and 1")
        for name in ("adversarial", "matching", "warmup", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} {getattr(self, name)}: must not be negative")
        if self.patch < 16 or self.patch % 8:
            raise ConfigError(f"patch {self.patch}: must be a multiple of 8, at least 16")
        if self.downscale < 1:
            raise ConfigError(f"downscale {self.downscale}: must be at least 1")
        if not self.photos:
            raise ConfigError("no photographs; give a folder with --photos")

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along each axis."""
        return srnet.SCALE if self.task == "sr" else 1

    @property
    def is_adversarial(self) -> bool:
        """Whether a discriminator takes part."""
        return self.adversarial > 0 or self.matching > 0
