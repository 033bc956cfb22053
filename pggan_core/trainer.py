"""The training run: schedule, data, steps, records and checkpoints joined; resumes bit for bit."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from celebahq_tools.allocator import keep_freed_memory
from celebahq_tools.config import config_to_json
from celebahq_tools.errors import CelebahqError, InputError, StoreError
from celebahq_tools.tensor_file import list_checkpoints
from pggan_core.checkpoint import Checkpoint, read_checkpoint, read_newest
from pggan_core.config import TrainConfig
from pggan_core.data import check_images, open_source
from pggan_core.distributed import SOLO, RankLostError, Ranks
from pggan_core.gallery import Gallery
from pggan_core.hooks import Hooks, Progress
from pggan_core.loader import Loader, Request
from pggan_core.networks import Discriminator, Generator
from pggan_core.records import Records
from pggan_core.sampling import prepare_reals
from pggan_core.schedule import SchedulePoint, schedule_at
from pggan_core.setup import (
    check_shares,
    choose_device,
    compare_networks,
    compare_sources,
    derive_network,
    prepare_run_folder,
)
from pggan_core.state import pack_stepper, unpack_stepper
from pggan_core.step import Batch, Stepper, StepReport

__all__ = ["Hooks", "Progress", "Trainer", "TrainingDivergedError"]

# The original's thousands of images between ticks.
_TICK_KIMG = {4: 160, 8: 140, 16: 120, 32: 100, 64: 80, 128: 60, 256: 40, 512: 20, 1024: 10}


class TrainingDivergedError(CelebahqError):
    """Gradients stayed infinite or undefined; the last good checkpoint is kept."""


class Trainer:
    """A run, from its configuration to its last checkpoint.

    Args:
        config: The run.
        run_dir: Folder of everything it writes.
        resume: A checkpoint file, ``"auto"`` for the newest in the run folder (a new run if it has none), or None.
        hooks: What the caller does along the way; of several processes, only the leader's are called, but for
            ``should_stop``.
        ranks: The processes that train together, each with a Trainer of the same configuration.
    Raises:
        CelebahqError: If data, folder, device or checkpoint cannot be used.
    """

    def __init__(
        self,
        config: TrainConfig,
        run_dir: Path,
        *,
        resume: str | Path | None = None,
        hooks: Hooks | None = None,
        ranks: Ranks = SOLO,
    ) -> None:
        self.config, self.run_dir, self.hooks, self.ranks = config, run_dir, hooks or Hooks(), ranks
        self.source = ranks.agree(lambda: open_source(Path(config.data)))
        ranks.agree(lambda: compare_sources(ranks, self.source))
        ranks.lead(lambda: check_images(self.source))
        self.network = ranks.agree(lambda: derive_network(config, self.source))
        self.schedule = config.schedule(self.network.levels)
        ranks.agree(lambda: check_shares(ranks, self.schedule))
        self.device = ranks.agree(lambda: choose_device(config.device, ranks))
        if self.device.type == "cpu":
            keep_freed_memory()
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
            ranks=ranks,
        )
        self.images_shown = 0
        self.previously_shown: int | None = None
        self.skipped = 0
        self.skipped_in_a_row = 0
        self.seconds = 0.0
        ranks.lead(lambda: self._resume(resume))
        self._spread()

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
            RankLostError: If another process of the run ended.
        """
        records = self.ranks.agree(self._open_records)
        loader = Loader(
            Path(self.config.data),
            self.source,
            seed=self.config.seed,
            mirror=self.config.mirror,
            plan=self._plan,
            workers=self._count_workers(),
            ranks=self.ranks,
        )
        try:
            with loader:
                return self._train(records, loader)
        except RankLostError as error:
            raise RankLostError(
                f"{error} at {self.images_shown / 1000:.1f} kimg; {self._name_last_good()}; "
                "start all processes again with --resume auto"
            ) from None
        finally:
            if records is not None:
                records.close()

    def _open_records(self) -> Records | None:
        if not self.ranks.is_leader:
            return None
        gallery = Gallery(self.source, self.stepper.average, self.device, self.config.seed)
        score, say = self.hooks.on_snapshot, self.hooks.say
        return Records(self.run_dir, self.config, gallery, images_shown=self.images_shown, score=score, say=say)

    def _train(self, records: Records | None, loader: Loader) -> bool:
        self.ranks.lead(lambda: self._record_start(records))
        tick: list[StepReport] = []
        started = time.monotonic()
        finished = self.images_shown
        while self.images_shown < self.images_total:
            point, report = self._step(loader)
            before = self.previously_shown or 0
            tick.append(report)
            if self.ranks.is_leader:
                self.hooks.on_step(Progress(self.images_shown, self.images_total, point, report))
            ended = self.images_shown >= self.images_total
            stopped = not ended and self.ranks.any(self.hooks.should_stop())
            interval = self.config.tick_kimg or _TICK_KIMG.get(point.resolution, 10)
            ticks = ended or stopped or self._crosses(before, interval)
            saves = ticks and (ended or stopped or self._crosses(before, self.config.snapshot_kimg or interval))
            scores = self._is_score_due()
            if ticks:
                elapsed = time.monotonic() - started
                self.seconds += elapsed
                rate = (self.images_shown - finished) / max(elapsed, 1e-9)
                values = {"images_per_second": rate, "seconds": self.seconds, "skipped": self.skipped}
                if records is not None:
                    records.add_tick(tick, point, self.images_shown, values)
                started, finished, tick = time.monotonic(), self.images_shown, []
            if saves or scores:
                self.ranks.lead(lambda: self._record(records, save=saves, score=scores))  # noqa: B023 - called at once
            if stopped:
                return False
        return True

    def _record_start(self, records: Records | None) -> None:
        if records is None:
            return
        records.draw_reals(self.images_shown)
        if self.images_shown == 0:
            records.draw_fakes(0, self._last_point())
        # Also those that were due when the run was killed.
        if self._is_score_due() and not records.has_scores(self.images_shown):
            records.add_scores(self.images_shown, self._last_point())

    def _is_score_due(self) -> bool:
        shown, every = self.images_shown, self.config.every
        before = self.previously_shown or 0
        return not shown or shown >= self.images_total or (every > 0 and self._crosses(before, every))

    def _record(self, records: Records | None, *, save: bool, score: bool) -> None:
        if records is None:
            return
        if save:
            records.draw_fakes(self.images_shown, self._last_point())
            records.draw_curves()
            # Perhaps diverging: do not push good checkpoints out.
            if not self.skipped_in_a_row:
                records.save(self._pack(), self.images_shown)
        if score:
            records.add_scores(self.images_shown, self._last_point())
            records.draw_curves()

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
            raise TrainingDivergedError(
                f"training diverged at {self.images_shown / 1000:.1f} kimg: gradients were not finite for "
                f"{self.skipped_in_a_row} steps in a row; {self._name_last_good()}; lower lr, or use precision fp32"
            )
        return point, report

    def _name_last_good(self) -> str:
        kept = list_checkpoints(self.run_dir / "checkpoints")
        return f"the last good checkpoint is {kept[-1]}" if kept else "no checkpoint had been written yet"

    def _split(self, loader: Loader, point: SchedulePoint) -> Iterator[Batch]:
        """Yield this process's part of a minibatch per discriminator step; they are read as one."""
        whole = loader.take(self._make_request(self.images_shown, point))
        size = len(whole.pixels) // self.config.n_critic
        for start in range(0, len(whole.pixels), size):
            chosen = slice(start, start + size)
            pixels = torch.from_numpy(np.ascontiguousarray(whole.pixels[chosen])).to(self.device)
            labels = torch.from_numpy(whole.labels[chosen]).to(self.device) if whole.labels is not None else None
            yield prepare_reals(pixels, point.alpha), labels if self.network.labels else None

    def _make_request(self, images_shown: int, point: SchedulePoint) -> Request:
        height, _ = self.network.resolution(point.level)
        return Request(images_shown, point.batch * self.config.n_critic, height, point.batch)

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

    def _last_point(self) -> SchedulePoint:
        """Return where the last step trained: the images' resolution and fade."""
        return schedule_at(self.schedule, max(self.images_shown - 1, 0))

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
        if not self.ranks.is_leader:
            return
        prepare_run_folder(self.run_dir)
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
        try:
            self._restore(checkpoint.progress, checkpoint.tensors)
        except (KeyError, RuntimeError, TypeError) as error:
            raise StoreError(f"{path}: damaged checkpoint ({error}); resume from an older one") from None
        self.hooks.say(f"resumed {path} at {self.images_shown / 1000:.1f} kimg")

    def _restore(self, progress: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        unpack_stepper(self.stepper, tensors)
        self.images_shown = int(progress["images_shown"])
        self.previously_shown = progress["previously_shown"]
        self.skipped, self.seconds = int(progress["skipped"]), float(progress["seconds"])
        if progress["loss"] == self.config.loss:
            self.stepper.loss.load_state(progress["loss_state"])

    def _spread(self) -> None:
        """Give every process the leader's state: checkpoints are read in one place, and hold nothing about ranks."""
        if self.ranks.count == 1:
            return
        mine = self._pack()
        progress = json.loads(self.ranks.exchange(json.dumps(mine.progress))[0])
        tensors = self.ranks.spread(mine.tensors)
        if not self.ranks.is_leader:
            self._restore(progress, tensors)
