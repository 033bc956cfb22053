"""What a run leaves behind: log lines, sample grids, curves, checkpoints and scores. Only the leader keeps records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from celebahq_tools.atomic import remove_partial, write_text_atomically
from celebahq_tools.config import config_to_json
from celebahq_tools.folder_lock import lock_folder
from celebahq_tools.pictures.canvas import save_picture
from celebahq_tools.tensor_file import list_checkpoints
from pggan_core.checkpoint import Checkpoint, name_checkpoint, write_checkpoint
from pggan_core.config import TrainConfig
from pggan_core.gallery import Gallery, Snapshot
from pggan_core.report import LOG_NAME, RunLog, draw_curves, read_log
from pggan_core.run_record import read_images_shown
from pggan_core.schedule import SchedulePoint
from pggan_core.step import StepReport

Score = Callable[[Snapshot], Mapping[str, float]]


class Records:
    """Writes everything in a run folder.

    Args:
        run_dir: The folder.
        config: The run, stored first of all.
        gallery: Draws what is shown.
        images_shown: Where the run starts or resumes.
        score: Returns scores by name; None for no scores.
        say: Told what the user should know.
    Raises:
        ConfigError: If another process is training in the folder.
    """

    def __init__(
        self,
        run_dir: Path,
        config: TrainConfig,
        gallery: Gallery,
        *,
        images_shown: int,
        score: Score | None,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._config, self._gallery, self._score = run_dir, config, gallery, score
        self._held = ExitStack()
        self._held.enter_context(lock_folder(run_dir, what="training", option="--run-dir"))
        for part in (run_dir, run_dir / "checkpoints", run_dir / "samples"):
            remove_partial(part)
        _set_aside(run_dir, images_shown, say)
        write_text_atomically(run_dir / "config.json", config_to_json(config) + "\n")
        self._log = RunLog(run_dir, images_shown=images_shown, say=say)

    def add_tick(
        self, reports: Sequence[StepReport], point: SchedulePoint, images_shown: int, values: Mapping[str, float]
    ) -> None:
        """Log the means of the steps since the last tick, and ``values`` beside them."""
        names = ("g_loss", "d_loss", "real_score", "fake_score", "penalty")
        means = {name: float(np.mean([getattr(report, name) for report in reports])) for name in names}
        # JSON has no NaN.
        losses = {name: value if math.isfinite(value) else None for name, value in means.items()}
        where = {
            "level": point.level,
            "resolution": point.resolution,
            "alpha": point.alpha,
            "batch": point.batch,
            "lr": point.lr,
        }
        self._log.add("tick", images_shown, {**losses, **where, **values})

    def save(self, checkpoint: Checkpoint, images_shown: int) -> None:
        """Write a checkpoint and let go of the oldest."""
        folder = self._folder / "checkpoints"
        write_checkpoint(folder / name_checkpoint(images_shown), checkpoint)
        for old in list_checkpoints(folder)[: -self._config.keep]:
            old.unlink()

    def has_scores(self, images_shown: int) -> bool:
        """Return whether the log has scores of this moment, or none are wanted."""
        if self._score is None:
            return True
        moment = ("score", images_shown)
        return any((line["event"], line["images"]) == moment for line in read_log(self._folder / LOG_NAME))

    def add_scores(self, images_shown: int, point: SchedulePoint) -> None:
        """Score the running average, where scores are wanted."""
        if self._score is not None:
            self._log.add("score", images_shown, dict(self._score(self._gallery.take_snapshot(images_shown, point))))

    def draw_curves(self) -> None:
        """Draw everything logged so far."""
        draw_curves(read_log(self._folder / LOG_NAME), self._folder / "training.png")

    def draw_fakes(self, images_shown: int, point: SchedulePoint) -> None:
        """Write a grid of generated images."""
        grid = self._gallery.draw_grid(point)
        save_picture(grid, self._folder / "samples" / f"fakes-{images_shown:011d}.png")
        self._log.add_grid("fakes", grid, images_shown)

    def draw_reals(self, images_shown: int) -> None:
        """Write a grid of real images."""
        grid = self._gallery.read_grid()
        save_picture(grid, self._folder / "samples" / "reals.png")
        self._log.add_grid("reals", grid, images_shown)

    def close(self) -> None:
        """Write out what is buffered, and let others into the folder."""
        self._log.close()
        self._held.close()


def _set_aside(run_dir: Path, images_shown: int, say: Callable[[str], None]) -> None:
    """Move what is newer than the moment a run goes on from out of the way: it is of another course of training."""
    found = [*(run_dir / "checkpoints").glob("checkpoint-*.safetensors"), *(run_dir / "samples").glob("fakes-*.png")]
    newer = [path for path in found if (read_images_shown(path) or 0) > images_shown]
    if not newer:
        return
    home = run_dir / "abandoned"
    target = home / f"{len(list(home.glob('*'))) + 1:03d}"
    target.mkdir(parents=True)
    for path in newer:
        path.rename(target / path.name)
    say(f"{len(newer)} newer checkpoints and grids were set aside in {target}")
