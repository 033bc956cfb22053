"""The training run: schedule, data, steps, records and checkpoints joined; resumes bit for bit."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from celebahq_tools.atomic import write_text_atomically
from celebahq_tools.config import config_to_json
from celebahq_tools.errors import CelebahqError, InputError, StoreError
from celebahq_tools.pictures.canvas import save_picture
from pggan_core.checkpoint import (
    Checkpoint,
    list_checkpoints,
    name_checkpoint,
    read_checkpoint,
    read_newest,
    write_checkpoint,
)
from pggan_core.config import TrainConfig
from pggan_core.data import open_source
from pggan_core.gallery import Gallery, Snapshot
from pggan_core.loader import Loader, Request
from pggan_core.networks import Discriminator, Generator
from pggan_core.report import LOG_NAME, RunLog, draw_curves, read_log
from pggan_core.sampling import prepare_reals
from pggan_core.schedule import SchedulePoint, schedule_at
from pggan_core.setup import choose_device, compare_networks, derive_network, prepare_run_folder
from pggan_core.state import pack_stepper, unpack_stepper
from pggan_core.step import Batch, Stepper, StepReport

# The original's thousands of images between ticks.
_TICK_KIMG = {4: 160, 8: 140, 16: 120, 32: 100, 64: 80, 128: 60, 256: 40, 512: 20, 1024: 10}


class TrainingDivergedError(CelebahqError):
    """Gradients stayed infinite or undefined; the last good checkpoint is kept."""


@dataclass(frozen=True)
class Progress:
    """One step done, for progress bars."""

    images_shown: int
    images_total: int
    point: SchedulePoint
    report: StepReport


def _ignore(*_: object) -> None:
    return None


@dataclass(frozen=True)
class Hooks:
    """What the caller does along the way; everything is optional.

    Attributes:
        on_step: Told after every step.
        on_snapshot: Returns scores by name.
        should_stop: Asked after every step; a stopped run writes a checkpoint first.
        say: Told what the user should know.
    """

    on_step: Callable[[Progress], None] = _ignore
    on_snapshot: Callable[[Snapshot], Mapping[str, float]] | None = None
    should_stop: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = _ignore


class Trainer:
    """A run, from its configuration to its last checkpoint.

    Args:
        config: The run.
        run_dir: Folder of everything it writes.
        resume: A checkpoint file, ``"auto"`` for the newest in the run folder (a new run if it has none), or None.
        hooks: What the caller does along the way.
    Raises:
        CelebahqError: If data, folder, device or checkpoint cannot be used.
    """

    def __init__(
        self, config: TrainConfig, run_dir: Path, *, resume: str | Path | None = None, hooks: Hooks | None = None
    ) -> None:
        self.config, self.run_dir, self.hooks = config, run_dir, hooks or Hooks()
        self.source = open_source(Path(config.data))
        self.network = derive_network(config, self.source)
        self.schedule = config.schedule(self.network.levels)
        self.device = choose_device(config.device)
        if config.precision == "tf32":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            generator, discriminator = Generator(self.network), Discriminator(self.network)
        generator.to(self.device)
        discriminator.to(self.device)
        self.stepper = Stepper(
            config,
            generator,
            discriminator,
            copy.deepcopy(generator).requires_grad_(False),
            device=self.device,
            rng=torch.Generator(self.device).manual_seed(config.seed),
        )
        self._gallery = Gallery(self.source, self.stepper.average, self.device, config.seed)
        self.images_shown = 0
        self.previously_shown: int | None = None
        self.skipped = 0
        self.skipped_in_a_row = 0
        self.seconds = 0.0
        prepare_run_folder(run_dir)
        self._resume(resume)

    @property
    def images_total(self) -> int:
        """Real images to show in all."""
        return int(self.config.kimg * 1000)

    def run(self) -> bool:
        """Train to the end.

        Returns:
            False if ``should_stop`` ended the run early; it can be resumed.
        Raises:
            TrainingDivergedError: If gradients were not finite for ``max_skipped`` steps in a row.
        """
        write_text_atomically(self.run_dir / "config.json", config_to_json(self.config) + "\n")
        log = RunLog(self.run_dir, images_shown=self.images_shown, say=self.hooks.say)
        loader = Loader(
            Path(self.config.data),
            self.source,
            seed=self.config.seed,
            mirror=self.config.mirror,
            plan=self._plan,
            workers=self._count_workers(),
        )
        try:
            with loader:
                return self._train(log, loader)
        finally:
            log.close()

    def _train(self, log: RunLog, loader: Loader) -> bool:
        self._write_real_grid(log)
        if self.images_shown == 0:
            self._write_fake_grid(log)
            self._score(log)
        tick: list[StepReport] = []
        started = time.monotonic()
        finished = self.images_shown
        while self.images_shown < self.images_total:
            point, report = self._step(loader)
            before = self.previously_shown or 0
            tick.append(report)
            self.hooks.on_step(Progress(self.images_shown, self.images_total, point, report))
            ended = self.images_shown >= self.images_total
            stopped = not ended and self.hooks.should_stop()
            interval = self.config.tick_kimg or _TICK_KIMG.get(point.resolution, 10)
            if ended or stopped or self._crosses(before, interval):
                elapsed = time.monotonic() - started
                self.seconds += elapsed
                self._log_tick(log, tick, point, elapsed, self.images_shown - finished)
                started, finished, tick = time.monotonic(), self.images_shown, []
                if ended or stopped or self._crosses(before, self.config.snapshot_kimg or interval):
                    self._save(log)
            if ended or (self.config.every and self._crosses(before, self.config.every)):
                self._score(log)
                draw_curves(read_log(self.run_dir / LOG_NAME), self.run_dir / "training.png")
            if stopped:
                return False
        return True

    def _step(self, loader: Loader) -> tuple[SchedulePoint, StepReport]:
        point = schedule_at(self.schedule, self.images_shown, self.previously_shown)
        if point.reset_optimizer:
            self.stepper.reset_optimizers()
        batches = self._split(loader, point)
        report = self.stepper.run(lambda: next(batches), point)
        self.previously_shown = self.images_shown
        self.images_shown += report.images
        self.skipped += report.skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if report.skipped else 0
        if self.skipped_in_a_row >= self.config.max_skipped:
            kept = list_checkpoints(self.run_dir / "checkpoints")
            raise TrainingDivergedError(
                f"training diverged at {self.images_shown / 1000:.1f} kimg: gradients were not finite for "
                f"{self.skipped_in_a_row} steps in a row; "
                + (f"the last good checkpoint is {kept[-1]}; " if kept else "no checkpoint had been written yet; ")
                + "lower lr, or use precision fp32"
            )
        return point, report

    def _split(self, loader: Loader, point: SchedulePoint) -> Iterator[Batch]:
        """Yield a minibatch per discriminator step; they are read as one."""
        whole = loader.take(self._make_request(self.images_shown, point))
        for start in range(0, len(whole.pixels), point.batch):
            chosen = slice(start, start + point.batch)
            pixels = torch.from_numpy(np.ascontiguousarray(whole.pixels[chosen])).to(self.device)
            labels = torch.from_numpy(whole.labels[chosen]).to(self.device) if whole.labels is not None else None
            yield prepare_reals(pixels, point.alpha), labels if self.network.labels else None

    def _make_request(self, images_shown: int, point: SchedulePoint) -> Request:
        height, _ = self.network.resolution(point.level)
        return Request(images_shown, point.batch * self.config.n_critic, height)

    def _plan(self, request: Request) -> Request | None:
        """Return the step after a step: the schedule knows all of them."""
        shown = request.cursor + request.count
        if shown >= self.images_total:
            return None
        return self._make_request(shown, schedule_at(self.schedule, shown))

    def _count_workers(self) -> int:
        if self.config.workers >= 0:
            return self.config.workers
        # On a CPU the networks need the cores themselves.
        return 0 if self.device.type == "cpu" else 4

    def _crosses(self, before: int, kimg: float) -> bool:
        return math.floor(self.images_shown / (kimg * 1000)) > math.floor(before / (kimg * 1000))

    def _log_tick(self, log: RunLog, tick: list[StepReport], point: SchedulePoint, elapsed: float, images: int) -> None:
        names = ("g_loss", "d_loss", "real_score", "fake_score", "penalty")
        means = {name: float(np.mean([getattr(report, name) for report in tick])) for name in names}
        # JSON has no NaN.
        values = {name: value if math.isfinite(value) else None for name, value in means.items()}
        log.add(
            "tick",
            self.images_shown,
            {
                **values,
                "level": point.level,
                "resolution": point.resolution,
                "alpha": point.alpha,
                "batch": point.batch,
                "lr": point.lr,
                "images_per_second": images / max(elapsed, 1e-9),
                "seconds": self.seconds,
                "skipped": self.skipped,
            },
        )

    def _save(self, log: RunLog) -> None:
        self._write_fake_grid(log)
        draw_curves(read_log(self.run_dir / LOG_NAME), self.run_dir / "training.png")
        if self.skipped_in_a_row:
            return  # Perhaps diverging: do not push good checkpoints out.
        folder = self.run_dir / "checkpoints"
        write_checkpoint(folder / name_checkpoint(self.images_shown), self._pack())
        for old in list_checkpoints(folder)[: -self.config.keep]:
            old.unlink()

    def _score(self, log: RunLog) -> None:
        if self.hooks.on_snapshot is not None:
            snapshot = self._gallery.take_snapshot(self.images_shown, self._last_point())
            log.add("score", self.images_shown, dict(self.hooks.on_snapshot(snapshot)))

    def _last_point(self) -> SchedulePoint:
        """Return where the last step trained: the images' resolution and fade."""
        return schedule_at(self.schedule, max(self.images_shown - 1, 0))

    def _write_fake_grid(self, log: RunLog) -> None:
        grid = self._gallery.draw_grid(self._last_point())
        save_picture(grid, self.run_dir / "samples" / f"fakes-{self.images_shown:011d}.png")
        log.add_grid("fakes", grid, self.images_shown)

    def _write_real_grid(self, log: RunLog) -> None:
        grid = self._gallery.read_grid()
        save_picture(grid, self.run_dir / "samples" / "reals.png")
        log.add_grid("reals", grid, self.images_shown)

    def _pack(self) -> Checkpoint:
        progress = {
            "images_shown": self.images_shown,
            "previously_shown": self.previously_shown,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "loss": self.config.loss,
            "loss_state": self.stepper.loss.state(),
        }
        return Checkpoint(self.network, config_to_json(self.config), progress, pack_stepper(self.stepper))

    def _resume(self, resume: str | Path | None) -> None:
        found = list_checkpoints(self.run_dir / "checkpoints")
        if resume is None:
            if found:
                raise InputError(
                    f"{self.run_dir}: holds a run already (up to {found[-1].name}); "
                    "pass --resume auto to go on, or another --run-dir"
                )
            return
        if str(resume) != "auto":
            self._unpack(read_checkpoint(Path(resume)), Path(resume))
            return
        newest = read_newest(self.run_dir / "checkpoints", self.hooks.say)
        if newest is not None:
            self._unpack(newest[1], newest[0])

    def _unpack(self, checkpoint: Checkpoint, path: Path) -> None:
        compare_networks(checkpoint.network, self.network, path)
        progress = checkpoint.progress
        try:
            unpack_stepper(self.stepper, checkpoint.tensors)
            self.images_shown = int(progress["images_shown"])
            self.previously_shown = progress["previously_shown"]
            self.skipped, self.seconds = int(progress["skipped"]), float(progress["seconds"])
            if progress["loss"] == self.config.loss:
                self.stepper.loss.load_state(progress["loss_state"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise StoreError(f"{path}: damaged checkpoint ({error}); resume from an older one") from None
        self.hooks.say(f"resumed {path} at {self.images_shown / 1000:.1f} kimg")
