"""Runs a net over an image of any size in equal overlapping tiles, so that memory is bounded and no seam shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from celebahq_tools.errors import ConfigError
from celebahq_tools.restore.base import SizeRule, mirror_to_fit
from celebahq_tools.types import Pixels

RunNet = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in input pixels.

    Attributes:
        start, stop: What the net sees.
        keep_start, keep_stop: The part of it whose output is used; the keeps of all tiles partition the axis.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class TilePlan:
    """How a net is fed.

    Attributes:
        rule: Sizes the net accepts.
        halo: Context in input pixels between a kept pixel and any edge that tiling introduced.
        tile: Largest side of a tile, in input pixels, context included. Memory grows with its square.
    """

    rule: SizeRule
    halo: int
    tile: int

    def __post_init__(self) -> None:
        if self.halo < 0 or self._find_step(self.tile) < 1 or self.rule.fit(self.tile) != self.tile:
            raise ConfigError(
                f"tiles of {self.tile} pixels do not work with a halo of {self.halo} and sizes that are multiples of "
                f"{self.rule.multiple_of} and at least {self.rule.minimum}"
            )

    def _find_step(self, side: int) -> int:
        """Return the largest distance between neighbours: they overlap by twice the halo and start on the grid."""
        grid = self.rule.multiple_of
        return (side - 2 * self.halo) // grid * grid

    def _shrink(self, length: int, count: int) -> int:
        """Return the smallest side with which so many tiles still cover an axis: what they overlap by is work lost."""
        side = self.rule.fit(-(-(length + 2 * self.halo * (count - 1)) // count))
        while self._find_step(side) * (count - 1) + side < length:
            side = self.rule.fit(side + 1)
        return side

    def split_axis(self, length: int) -> list[Span]:
        """Return equal tiles that cover an axis: as few as the largest tile allows, and no larger than that takes.

        A tile edge inside the image lies at least ``halo`` away from every pixel kept from that tile. All starts
        are multiples of ``rule.multiple_of``: nets that pixel-unshuffle depend on the phase.

        Args:
            length: Accepted by the rule.
        """
        if length <= self.tile:
            return [Span(0, length, 0, length)]
        count = -(-(length - self.tile) // self._find_step(self.tile)) + 1
        side = self._shrink(length, count)
        grid = self.rule.multiple_of
        # Spread evenly instead of leaving a sliver at the end: rounding down to the grid keeps every distance
        # at or below the step, which is on the grid itself.
        starts = [(length - side) * i // (count - 1) // grid * grid for i in range(count)]
        # Neighbours hand over in the middle of their overlap, halo or more away from both edges.
        cuts = [0, *((b + a + side) // 2 for a, b in pairwise(starts)), length]
        return [Span(start, start + side, *keep) for start, keep in zip(starts, pairwise(cuts), strict=True)]


def run_tiled(pixels: Pixels, run: RunNet, *, scale: int, plan: TilePlan, batch: int = 1) -> Pixels:
    """Return the net's output for a whole image, computed tile by tile.

    Memory beyond input and output is that of the net on one batch of tiles.

    Args:
        pixels: RGB, uint8, shape (H, W, 3).
        run: The net: uint8 (h, w, 3) to uint8 (h * scale, w * scale, 3), for h, w accepted by ``plan.rule``.
        scale: Output pixels per input pixel along each axis.
        plan: Tile size, context and accepted sizes.
        batch: Tiles per call of the net. Above 1 it gets stacks, (n, h, w, 3), and returns stacks: what a GPU wants.
    Returns:
        uint8, shape (H * scale, W * scale, 3).
    """
    height, width = pixels.shape[:2]
    fitted = mirror_to_fit(pixels, plan.rule)
    output = np.empty((fitted.shape[0] * scale, fitted.shape[1] * scale, 3), np.uint8)
    places = list(_tiles(plan, fitted.shape[0], fitted.shape[1]))
    for first in range(0, len(places), batch):
        chosen = places[first : first + batch]
        tiles = [fitted[rows.start : rows.stop, columns.start : columns.stop] for rows, columns in chosen]
        # All tiles of an image have one size, so that any of them can share a stack.
        restored = run(np.stack(tiles)) if batch > 1 else [run(tile) for tile in tiles]
        for (rows, columns), tile in zip(chosen, restored, strict=True):
            output[_scaled(rows, scale), _scaled(columns, scale)] = tile[_kept(rows, scale), _kept(columns, scale)]
    return np.ascontiguousarray(output[: height * scale, : width * scale])


def _tiles(plan: TilePlan, height: int, width: int) -> Iterator[tuple[Span, Span]]:
    return product(plan.split_axis(height), plan.split_axis(width))


def _scaled(span: Span, scale: int) -> slice:
    """Where a tile's kept part lies in the output image."""
    return slice(span.keep_start * scale, span.keep_stop * scale)


def _kept(span: Span, scale: int) -> slice:
    """Where a tile's kept part lies in the tile's own output."""
    return slice((span.keep_start - span.start) * scale, (span.keep_stop - span.start) * scale)
