"""What every restorer is: a function from RGB pixels to RGB pixels with a known scale and reach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, get_args

import numpy as np

from celebahq_tools.errors import ConfigError
from celebahq_tools.types import Pixels

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]


class Restorer(Protocol):
    """Removes artifacts or adds resolution; deterministic, for images of any size from 1x1 up."""

    @property
    def name(self) -> str:
        """As registered, or the file name of the user's own weights."""
        ...

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along each axis."""
        ...

    @property
    def halo(self) -> int:
        """Context in input pixels; what lies farther away changes no output pixel by more than one grey level.

        A caller that restores only a region adds this much around it and crops it off again.
        """
        ...

    @property
    def licence(self) -> str:
        """Licence of the code or weights that do the work."""
        ...

    def restore(self, pixels: Pixels) -> Pixels:
        """Return the restored image.

        Args:
            pixels: RGB, uint8, shape (H, W, 3), H and W at least 1.
        Returns:
            RGB, uint8, shape (H * scale, W * scale, 3), never the caller's own array.
        Raises:
            ShapeError: If the input is anything else.
        """
        ...


@dataclass(frozen=True)
class RestorerRequest:
    """What a registered factory gets to build its restorer from.

    Attributes:
        name: The registered name, or the file name of the user's own weights.
        device: ``auto``, ``cpu`` or ``cuda`` (``cuda:1`` for the second one).
        scale: Scale asked for; None leaves it to the restorer.
        weights: A file of the user's own instead of the registered weights.
        precision: Arithmetic of a net: ``fp32``, or ``bf16`` or ``fp16`` where it is worth it, which is on GPUs.
        compile_net: Whether a net goes through ``torch.compile``.
    """

    name: str
    device: str = "auto"
    scale: int | None = None
    weights: Path | None = None
    precision: Precision = "fp32"
    compile_net: bool = False

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise ConfigError(f"precision {self.precision!r}; use {', '.join(get_args(Precision))}")

    def require_scale(self, scale: int) -> None:
        """Raise ConfigError if a scale was asked for that a restorer of one fixed scale does not have."""
        if self.scale not in (None, scale):
            raise ConfigError(f"restorer {self.name!r} has scale {scale}, not {self.scale}; leave the scale out")


@dataclass(frozen=True)
class SizeRule:
    """Sizes that a net accepts along each axis.

    Attributes:
        multiple_of: Height and width must be multiples of this.
        minimum: ... and at least this many pixels.
    """

    multiple_of: int = 1
    minimum: int = 1

    def __post_init__(self) -> None:
        if self.multiple_of < 1 or self.minimum < 1:
            raise ConfigError(f"size rule {self.multiple_of}, {self.minimum}: both numbers must be at least 1")

    def fit(self, length: int) -> int:
        """Return the smallest accepted length that is not below the given one."""
        return -(-max(length, self.minimum) // self.multiple_of) * self.multiple_of


def mirror_to_fit(pixels: Pixels, rule: SizeRule) -> Pixels:
    """Return an image grown at its right and bottom edges, by reflection, to the next accepted size.

    The original stays at the top left, so cropping the restored image to (H * scale, W * scale) undoes it.

    Args:
        pixels: uint8, shape (H, W, 3).
        rule: Sizes that are accepted.
    """
    height, width = pixels.shape[:2]
    missing = ((0, rule.fit(height) - height), (0, rule.fit(width) - width), (0, 0))
    # Reflection without the border pixel; a line of one pixel has nothing to reflect and is repeated.
    return np.pad(pixels, missing, mode="reflect") if any(map(any, missing)) else pixels
