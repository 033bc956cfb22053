"""A training run on a terminal: progress bar, Ctrl-C, and the metrics joined to the trainer."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
from tqdm import tqdm

from pggan_core.config import TrainConfig
from pggan_core.data import check_images, open_source
from pggan_core.distributed import SOLO, Ranks
from pggan_core.setup import derive_network, describe_networks
from pggan_core.trainer import Hooks, Progress, Trainer


def describe(config: TrainConfig, *, dry_run: bool) -> str:
    """Return what a run would train, after every check that needs the data.

    Args:
        config: Of the run.
        dry_run: Whether no run follows, which would look at all images itself.
    """
    source = open_source(Path(config.data))
    if dry_run:
        check_images(source)
    channels, height, width = source.shape
    summary = f"{config.data}: {len(source)} images, {width}x{height}, {channels} channels"
    return f"{summary}\n{describe_networks(derive_network(config, source))}"


def run(config: TrainConfig, folder: Path, resume: str | None, ranks: Ranks = SOLO) -> bool:
    """Train; return False if Ctrl-C or SIGTERM ended it, with a checkpoint written."""
    stop = _StopRequest(ranks)
    if not ranks.is_leader:
        trainer = Trainer(config, folder, resume=resume, hooks=Hooks(should_stop=stop.is_wanted), ranks=ranks)
        with stop.listen():
            return trainer.run()
    scorer = None
    if config.metrics:
        from celebahq_cli.pggan_metrics import Scorer

        scorer = Scorer(config.metrics, config.metric_images, config.seed)
    with tqdm(total=config.kimg, unit="kimg", bar_format=_BAR, dynamic_ncols=True) as bar:

        def show(progress: Progress) -> None:
            point = progress.point
            fade = f" fading in {point.alpha:.0%}" if point.alpha < 1 else ""
            # tqdm counts in the bar's unit; images per second are what people compare.
            rate = bar.format_dict["rate"]
            speed = f" {rate * 1000:.1f} img/s" if rate else ""
            bar.set_postfix_str(f"{point.resolution}px{fade} alpha {point.alpha:.2f}{speed}", refresh=False)
            bar.update(min(progress.images_shown, progress.images_total) / 1000 - bar.n)

        hooks = Hooks(on_step=show, on_snapshot=scorer, should_stop=stop.is_wanted, say=bar.write)
        trainer = Trainer(config, folder, resume=resume, hooks=hooks, ranks=ranks)
        bar.initial = bar.n = trainer.images_shown / 1000
        bar.write(f"run folder: {folder}")
        with stop.listen():
            finished = trainer.run()
    if finished:
        click.echo(f"done: {trainer.images_shown / 1000:.1f} kimg, {trainer.skipped} steps skipped; {folder}")
    else:
        again = "go on with: pggan train" if ranks.count == 1 else "start all processes again with"
        click.echo(f"stopped; {again} --run-dir {folder} --resume auto")
    return finished


_BAR = "{l_bar}{bar}| {n:.1f}/{total:.1f} kimg [{elapsed}<{remaining}, {postfix}]"


class _StopRequest:
    """The first Ctrl-C or SIGTERM asks the run to finish its step; a second Ctrl-C ends the program at once.

    Of several processes, each may get its signal at another step: the trainer agrees on one to stop after.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._wanted = False

    def is_wanted(self) -> bool:
        """Return whether a signal came."""
        return self._wanted

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Take the signals while the block runs."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # torchrun passes signals on and repeats them; it has its own way to end at once.
        if self._wanted and self._ranks.count == 1 and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        if not self._wanted and self._ranks.is_leader:
            again = "; press Ctrl-C again to end at once" if self._ranks.count == 1 else ""
            tqdm.write(f"stopping after this step and writing a checkpoint{again}")
        self._wanted = True
