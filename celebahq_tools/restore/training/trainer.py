"""Trains a restoration net: batches, steps, checkpoints, measurements, and the weight file at the end."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from celebahq_tools.atomic import write_text_atomically
from celebahq_tools.config import config_to_json
from celebahq_tools.errors import ConfigError, InputError
from celebahq_tools.folder_lock import lock_folder
from celebahq_tools.restore import load_restorer
from celebahq_tools.restore.architectures import build_net
from celebahq_tools.restore.checkpoint import read_checkpoint
from celebahq_tools.restore.network import load_state, resolve_device
from celebahq_tools.restore.training.batches import BatchMaker
from celebahq_tools.restore.training.checkpoint import (
    Checkpoint,
    export_weights,
    pack_stepper,
    read_newest,
    unpack_stepper,
    write_checkpoint,
)
from celebahq_tools.restore.training.config import RestoreTrainConfig
from celebahq_tools.restore.training.photographs import PatchSampler, Photograph, list_photographs, load_photographs
from celebahq_tools.restore.training.step import Stepper
from celebahq_tools.restore.training.validation import Condition, build_conditions, measure_conditions
from celebahq_tools.tensor_file import list_checkpoints

CURVE = "curve.csv"
WEIGHTS = "weights.safetensors"
_HOLD_OUT_EVERY = 10


class Listener(Protocol):
    """What a run tells while it goes on."""

    def begin(self, *, total: int, done: int) -> None:
        """Training starts, with so many steps done."""
        ...

    def advance(self, figures: dict[str, float]) -> None:
        """One more step, with its losses."""
        ...

    def say(self, text: str) -> None:
        """A line for people."""
        ...


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves.

    Attributes:
        weights: The float16 weight file of the averaged net.
        curve: Table of the measurements.
        gains: The last measurement: PSNR gained in dB, by condition.
        steps: Steps done.
    """

    weights: Path
    curve: Path
    gains: dict[str, float]
    steps: int


def train_restorer(config: RestoreTrainConfig, listener: Listener, *, device: str = "auto") -> TrainResult:
    """Train a net, or go on with the training in the run's folder.

    On one machine with one thread a resumed run ends in the same bits as one that was not stopped: examples depend on
    the seed and the step alone, and a checkpoint holds everything else.

    Raises:
        ConfigError: If the device is absent, or another process is training in the run's folder.
        InputError: If there are too few photographs.
        StoreError: If the folder cannot be written, or holds checkpoints of another net.
        WeightsError: If ``init`` or ``dejpeg`` cannot be loaded.
    """
    config.run_dir.mkdir(parents=True, exist_ok=True)
    with lock_folder(config.run_dir, what="training", option="--run-dir"):
        run = _Run(config, listener, resolve_device(device))
        run.resume()
        listener.begin(total=config.steps, done=run.step)
        while run.step < config.steps:
            run.advance()
        return run.finish()


class _Run:
    def __init__(self, config: RestoreTrainConfig, listener: Listener, device: torch.device) -> None:
        self.config = config
        self.say = listener.say
        self.listener = listener
        self.device = device
        self.step = 0
        self.rows: list[dict[str, str]] = []
        train, held_out = _load_split(config, self.say)
        self.say(f"photographs: {len(train)} to train on, {len(held_out)} to measure on")
        dejpeg = None if config.dejpeg == "none" else load_restorer("dejpeg", config.dejpeg, device="cpu")
        self.batches = BatchMaker(config, PatchSampler(train), dejpeg)
        self.conditions: list[Condition] = build_conditions(config.task, held_out, config.scale)
        self.stepper = Stepper(config, _build_start(config), device)
        self.started = time.monotonic()

    def resume(self) -> None:
        """Go on from the newest checkpoint, if there is one."""
        checkpoint = read_newest(self.config.run_dir, self.say)
        if checkpoint is None:
            return
        if checkpoint.net != self.config.net:
            raise ConfigError(
                f"{self.config.run_dir}: holds a run of {checkpoint.net}, not of {self.config.net}; "
                "choose another --run-dir"
            )
        unpack_stepper(self.stepper, checkpoint.tensors)
        self.step = checkpoint.step
        curve = self.config.run_dir / CURVE
        if curve.is_file():
            with curve.open(encoding="utf-8", newline="") as stream:
                self.rows = [row for row in csv.DictReader(stream) if int(row["step"]) <= self.step]
        self.say(f"going on at step {self.step}")

    def advance(self) -> None:
        """Do one step and what is due after it."""
        config = self.config
        damaged, truth = self.batches.make(self.step)
        figures = self.stepper.run(self.step, damaged, truth)
        self.step += 1
        self.listener.advance(figures)
        last = self.step == config.steps
        if self.step % config.validate_every == 0 or last:
            self.measure(figures)
        if self.step % config.checkpoint_every == 0 or last:
            self.save()

    def measure(self, figures: dict[str, float]) -> None:
        """Measure the averaged net and add a row to the curve."""
        gains = measure_conditions(self.stepper.average, self.conditions, self.device)
        row = {"step": str(self.step)}
        row |= {name: f"{value:.5f}" for name, value in figures.items()}
        row |= {f"gain_{label}_db": f"{gain:.3f}" for label, gain in gains.items()}
        self.rows.append(row)
        stream = io.StringIO()
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text_atomically(self.config.run_dir / CURVE, stream.getvalue())
        self.say(f"step {self.step}: " + "  ".join(f"{label} {gain:+.2f} dB" for label, gain in gains.items()))

    def save(self) -> None:
        """Write a checkpoint and the weights so far, and delete checkpoints beyond those kept."""
        config = self.config
        path = config.run_dir / f"checkpoint-{self.step:09d}.safetensors"
        state = Checkpoint(str(config.net), config_to_json(config), self.step, pack_stepper(self.stepper))
        write_checkpoint(path, state)
        self.export()
        for old in list_checkpoints(config.run_dir)[: -config.keep]:
            old.unlink()

    def export(self) -> Path:
        """Write the averaged net's weight file and return its path."""
        config = self.config
        path = config.run_dir / WEIGHTS
        about = {"task": config.task, "steps": self.step, "seed": config.seed, "batch": config.batch}
        export_weights(path, self.stepper.average, name=str(config.net), about=about)
        return path

    def finish(self) -> TrainResult:
        """Measure once more and return what there is."""
        gains = measure_conditions(self.stepper.average, self.conditions, self.device)
        return TrainResult(self.export(), self.config.run_dir / CURVE, gains, self.step)


def _build_start(config: RestoreTrainConfig) -> nn.Module:
    """Return the net with random weights of the seed, or with those to start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = build_net(str(config.net))
    if config.init is not None:
        load_state(net, read_checkpoint(config.init), config.init)
    return net.train()


def _load_split(config: RestoreTrainConfig, say: Callable[[str], None]) -> tuple[list[Photograph], list[Photograph]]:
    """Return the photographs to train on and those to measure on, which are never the same files."""
    paths = list_photographs(config.photos)
    if config.validation is None:
        held_out = paths[_HOLD_OUT_EVERY // 2 :: _HOLD_OUT_EVERY] or paths[-1:]
    else:
        held_out = list_photographs(config.validation)
    chosen = [path for path in paths if path not in set(held_out)]
    kinds = [
        load_photographs(part, downscale=config.downscale, min_side=config.min_side, say=say)
        for part in (chosen, held_out)
    ]
    for what, kind in zip(("to train on", "to measure on"), kinds, strict=True):
        if not kind:
            raise InputError(f"{', '.join(map(str, config.photos))}: no usable photograph {what}; at least two needed")
    return kinds[0], kinds[1]
