"""A restorer that runs some net over an image in tiles; where the net is, is up to the subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from celebahq_tools.restore.jpeg_grid import move_to_grid
from celebahq_tools.restore.tiling import TilePlan, run_tiled
from celebahq_tools.types import Pixels, check_pixels


@dataclass(frozen=True)
class NetFacts:
    """What is known of a net without running it.

    Attributes:
        name: As registered, or the file name of the user's own weights.
        scale: Output pixels per input pixel, along each axis.
        licence: Of the weights.
        plan: Tile size, halo and accepted sizes.
        finds_grid: Whether an image is moved so that its JPEG grid starts where the net expects it, at the top left.
    """

    name: str
    scale: int
    licence: str
    plan: TilePlan
    finds_grid: bool


class TiledRestorer(ABC):
    """Cuts an image into tiles, has them restored, and puts them together; a :class:`Restorer` but for the net.

    Args:
        facts: Of the net.
        batch: Tiles given to :meth:`run_tile` at a time, as a stack where it is more than one.
    """

    def __init__(self, facts: NetFacts, *, batch: int) -> None:
        self.facts = facts
        self.batch = batch

    @property
    def name(self) -> str:
        """As registered, or the file name of the user's own weights."""
        return self.facts.name

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along each axis."""
        return self.facts.scale

    @property
    def licence(self) -> str:
        """Of the weights."""
        return self.facts.licence

    @property
    def plan(self) -> TilePlan:
        """Tile size, halo and accepted sizes."""
        return self.facts.plan

    @property
    def halo(self) -> int:
        """Context in input pixels that a region needs around it; also what tiles overlap by on each side."""
        return self.plan.halo

    def restore(self, pixels: Pixels) -> Pixels:
        """Return the restored image; see :class:`celebahq_tools.restore.base.Restorer`."""
        check_pixels(pixels, f"restorer {self.name!r}")
        top = left = 0
        if self.facts.finds_grid:
            pixels, top, left = move_to_grid(pixels)
        restored = run_tiled(pixels, self.run_tile, scale=self.scale, plan=self.plan, batch=self.batch)
        return np.ascontiguousarray(restored[top * self.scale :, left * self.scale :])

    @abstractmethod
    def run_tile(self, pixels: Pixels) -> Pixels:
        """Return the net's output for one image, (H, W, 3), or for a stack, (N, H, W, 3).

        Args:
            pixels: RGB, uint8; H and W fit the plan's size rule.
        Returns:
            RGB, uint8, H and W times the scale.
        """
