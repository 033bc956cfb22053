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
from pggan_core.data import open_source
from pggan_core.setup import derive_network, describe_networks
from pggan_core.trainer import Hooks, Progress, Trainer


def describe(config: TrainConfig) -> str:
    """Return what a run would train, after every check that needs the data."""
    source = open_source(Path(config.data))
    channels, height, width = source.shape
    summary = f"{config.data}: {len(source)} images, {width}x{height}, {channels} channels"
    return f"{summary}\n{describe_networks(derive_network(config, source))}"


def run(config: TrainConfig, folder: Path, resume: str | None) -> bool:
    """Train; return False if Ctrl-C ended it, with a checkpoint written."""
    stop = _StopRequest()
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
        trainer = Trainer(config, folder, resume=resume, hooks=hooks)
        bar.initial = bar.n = trainer.images_shown / 1000
        bar.write(f"run folder: {folder}")
        with stop.listen():
            finished = trainer.run()
    if finished:
        click.echo(f"done: {trainer.images_shown / 1000:.1f} kimg, {trainer.skipped} steps skipped; {folder}")
    return finished


_BAR = "{l_bar}{bar}| {n:.1f}/{total:.1f} kimg [{elapsed}<{remaining}, {postfix}]"


class _StopRequest:
    """The first Ctrl-C asks the run to finish its step; the second ends the program at once."""

    def __init__(self) -> None:
        self._wanted = False

    def is_wanted(self) -> bool:
        """Return whether Ctrl-C was pressed."""
        return self._wanted

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Take Ctrl-C while the block runs."""
        before = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._wanted:
            signal.default_int_handler(number, frame)
        self._wanted = True
        tqdm.write("stopping after this step and writing a checkpoint; press Ctrl-C again to end at once")
