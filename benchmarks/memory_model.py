"""Memory of a training step at every resolution, counted without computing anything.

    python -m benchmarks.memory_model --preset celebahq-1024 --batches 1,2,3,4

The real step runs on torch's meta device, where tensors have shapes and no contents; every storage is counted from its
birth to its death. The result is the peak of live tensors: weights, running average, gradients, Adam's moments and
activations. A GPU adds its context (0.3 to 0.6 GB), cuDNN's workspaces and what its allocator wastes.
"""

from __future__ import annotations

import argparse
import copy
import weakref
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from celebahq_tools.config import resolve_config
from pggan_core.config import TrainConfig
from pggan_core.networks import Discriminator, Generator
from pggan_core.presets import find_preset
from pggan_core.schedule import SchedulePoint
from pggan_core.step import Stepper


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "meta":
                self.add(leaf)
        return result

    def add(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage until it dies."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes()
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def measure(config: TrainConfig, level: int, batch: int) -> tuple[int, int]:
    """Return bytes between steps and at the peak of a step, at a level of the preset's full networks."""
    shape = config.network(levels=8, base_height=4, base_width=4, channels=3, labels=0)
    counter = LiveBytes()
    numbers = {"tolist": lambda _: [0.0] * 4, "__float__": lambda _: 0.0, "__bool__": lambda _: True}
    adam = lambda _, network: torch.optim.Adam(network.parameters(), betas=(0.0, 0.99), foreach=False)  # noqa: E731
    with patch.multiple(torch.Tensor, **numbers), patch.object(Stepper, "_make_adam", adam), counter:
        with torch.device("meta"):
            generator, discriminator = Generator(shape), Discriminator(shape)
        stepper = Stepper(
            config,
            generator,
            discriminator,
            copy.deepcopy(generator).requires_grad_(False),
            device=torch.device("meta"),
            rng=None,  # type: ignore[arg-type] - the meta device has none
        )
        side = 4 << level
        point = SchedulePoint(level, side, 1.0, 0.0, 0, False, batch, config.lr)
        for _ in range(2):  # The first step makes Adam's moments.
            counter.peak = counter.now
            stepper.run(lambda: (torch.empty(batch, 3, side, side, device="meta"), None), point)
        return counter.now, counter.peak


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="celebahq-1024")
    parser.add_argument("--batches", default="1,2,3,4")
    parser.add_argument("--levels", default="5,6,7,8")
    options = parser.parse_args()
    config = resolve_config(TrainConfig, preset=find_preset(options.preset).settings)
    config = replace(config, share_latents=False)
    batches = [int(batch) for batch in options.batches.split(",")]
    print("| resolution | between steps | " + " | ".join(f"peak, batch {batch}" for batch in batches) + " |")
    print("|---" * (2 + len(batches)) + "|")
    for level in map(int, options.levels.split(",")):
        results = [measure(config, level, batch) for batch in batches]
        cells = [f"{results[0][0] / 2**30:.2f} GB", *(f"{peak / 2**30:.2f} GB" for _, peak in results)]
        print(f"| {4 << level} px | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
