"""Tiles of different photographs through one net together, with results that do not depend on who came together."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from celebahq_tools.restore.tiled import TiledRestorer
from celebahq_tools.types import Pixels

_log = logging.getLogger(__name__)

# Kind of net, height, width: what tiles must share to be run together.
_Group = tuple[str, int, int]


class TileBatcher:
    """Collects tiles that many threads ask for and runs equal-size ones as stacks, in one thread.

    Convolution libraries choose their method, and with it the order of float32 sums, by the shape of the stack. So all
    stacks of tiles of one size have the same number of tiles: missing ones are black, and a tile's result depends on
    that tile alone.

    Args:
        nets: By kind.
        pixels: A stack has as many tiles as fit into so many input pixels, at least one.
    """

    def __init__(self, nets: Mapping[str, TiledRestorer], *, pixels: int) -> None:
        self.nets = nets
        self.pixels = pixels
        self._said = False
        self._waiting: dict[_Group, deque[_Tile]] = {}
        self._change = threading.Condition()

    def restore(self, kind: str, stack: Pixels) -> Pixels:
        """Return a stack of restored tiles; waits until the thread that works has made them.

        Args:
            kind: Which net.
            stack: RGB, uint8, shape (N, H, W, 3); H and W fit the net's size rule.
        Returns:
            RGB, uint8, H and W times the net's scale.
        """
        tiles = [_Tile(pixels) for pixels in stack]
        with self._change:
            self._waiting.setdefault((kind, *stack.shape[1:3]), deque()).extend(tiles)
            self._change.notify()
        return np.stack([tile.wait() for tile in tiles])

    def work(self) -> None:
        """Run what waits, oldest first, for ever.

        Raises:
            Exception: What a net raised, such as torch's error for one tile that is too large for the memory.
        """
        while True:
            self.work_once()

    def work_once(self) -> None:
        """Wait for tiles, and run one stack of them."""
        with self._change:
            while not self._waiting:
                self._change.wait()
            # Python's dictionaries keep their order: the group that has waited longest is the first.
            group = next(iter(self._waiting))
            kind, height, width = group
            tiles = self._waiting.pop(group)
            chosen = [tiles.popleft() for _ in range(min(self.count_tiles(height, width), len(tiles)))]
            if tiles:
                # Behind the others: a size that many ask for must not keep a rare one waiting.
                self._waiting[group] = tiles
        for tile, restored in zip(chosen, self._run(self.nets[kind], [tile.pixels for tile in chosen]), strict=True):
            tile.finish(restored)

    def count_tiles(self, height: int, width: int) -> int:
        """Return how many tiles of a size make a stack."""
        return max(1, self.pixels // (height * width))

    def _run(self, net: TiledRestorer, tiles: Sequence[Pixels]) -> list[Pixels]:
        """Run tiles of one size; if the device has too little memory for a stack of them, in smaller stacks."""
        height, width = tiles[0].shape[:2]
        while True:
            count = self.count_tiles(height, width)
            restored = self._try_stacks(net, tiles, count)
            if restored is not None:
                return restored
            # After the error is gone, and with it the references to what it left on the device.
            _free_memory()
            self._lower(count // 2 * height * width)

    def _try_stacks(self, net: TiledRestorer, tiles: Sequence[Pixels], count: int) -> list[Pixels] | None:
        """Return the tiles restored, ``count`` at a time, or None if that is more than the device's memory holds."""
        import torch

        restored: list[Pixels] = []
        try:
            for first in range(0, len(tiles), count):
                chosen = tiles[first : first + count]
                stack = np.zeros((count, *tiles[0].shape), np.uint8)
                stack[: len(chosen)] = chosen
                restored.extend(net.run_tile(stack)[: len(chosen)])
        except torch.cuda.OutOfMemoryError:
            if count == 1:
                raise
            return None
        return restored

    def _lower(self, pixels: int) -> None:
        if not self._said:
            _log.warning(
                "too little memory on the device for %d pixels at once: going on with %d, or fewer", self.pixels, pixels
            )
        self._said = True
        self.pixels = pixels


@dataclass(eq=False)
class _Tile:
    """A tile on its way through a net."""

    pixels: Pixels
    _restored: list[Pixels] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> Pixels:
        self._done.wait()
        return self._restored[0]

    def finish(self, restored: Pixels) -> None:
        self._restored.append(restored)
        self._done.set()


def _free_memory() -> None:
    import torch

    torch.cuda.empty_cache()
