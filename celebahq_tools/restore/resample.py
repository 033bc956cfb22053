"""Restorers without a net: nothing at all, and the Lanczos upscaling that stood in for the original's net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from celebahq_tools.errors import ConfigError
from celebahq_tools.restore.base import RestorerRequest
from celebahq_tools.types import Pixels, check_pixels


@dataclass(frozen=True)
class Identity:
    """The restorer that changes nothing."""

    name: ClassVar[str] = "none"
    scale: ClassVar[int] = 1
    halo: ClassVar[int] = 0
    licence: ClassVar[str] = "Apache-2.0"

    def restore(self, pixels: Pixels) -> Pixels:
        """Return a copy of the image; see :class:`celebahq_tools.restore.base.Restorer`."""
        check_pixels(pixels, f"restorer {self.name!r}")
        return pixels.copy()


@dataclass(frozen=True)
class Lanczos:
    """Antialiased Lanczos upscaling, with which the original program simulates its super-resolution net.

    The original scales by ``2^ceil(log2 zoom)``: any power of two, chosen per image. The halo is 0 although the
    kernel reaches three pixels: the original resamples the bare crop, and its results are what this one is for.

    Attributes:
        scale: A power of two; 1 returns the image as it is.
    """

    scale: int = 4
    name: ClassVar[str] = "lanczos"
    halo: ClassVar[int] = 0
    licence: ClassVar[str] = "Apache-2.0"

    def __post_init__(self) -> None:
        if self.scale < 1 or self.scale & (self.scale - 1):
            raise ConfigError(f"restorer 'lanczos': scale {self.scale} is not a power of two; use 1, 2, 4, 8 ...")

    def restore(self, pixels: Pixels) -> Pixels:
        """Return the upscaled image; see :class:`celebahq_tools.restore.base.Restorer`."""
        check_pixels(pixels, f"restorer {self.name!r}")
        height, width = pixels.shape[:2]
        size = (width * self.scale, height * self.scale)
        return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def build_identity(request: RestorerRequest) -> Identity:
    """Return the restorer that changes nothing; the device does not matter.

    Raises:
        ConfigError: If a scale other than 1 is asked for.
    """
    request.require_scale(Identity.scale)
    return Identity()


def build_lanczos(request: RestorerRequest) -> Lanczos:
    """Return the Lanczos upscaler, 4x unless asked otherwise; it runs on the CPU whatever the device.

    Raises:
        ConfigError: If the scale is not a power of two.
    """
    return Lanczos() if request.scale is None else Lanczos(request.scale)
