"""The records of a run: one JSON line per tick and score, TensorBoard event files, and the curves drawn from them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.atomic import write_atomically, write_text_atomically

LOG_NAME = "log.jsonl"


class RunLog:
    """Appends to the run's log and to TensorBoard.

    Args:
        folder: Run folder.
        images_shown: Where the run starts or resumes; later lines, of a run that was killed, are dropped.
        say: Told once if TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, images_shown: int, say: Callable[[str], None]) -> None:
        self.path = folder / LOG_NAME
        kept = [line for line in read_log(self.path) if line["images"] <= images_shown] if images_shown else []
        write_text_atomically(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = self.path.open("a", encoding="utf-8")
        self._board = _open_board(folder / "tensorboard", images_shown, say)

    def add(self, event: str, images_shown: int, values: Mapping[str, Any]) -> None:
        """Add one line and its numbers as TensorBoard scalars."""
        line = {"event": event, "images": images_shown, **values}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{event}/{name}", value, images_shown)

    def add_grid(self, name: str, grid: NDArray[np.uint8], images_shown: int) -> None:
        """Add an image grid (H, W, C) to TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, grid, images_shown, dataformats="HWC")

    def close(self) -> None:
        """Write out what is buffered."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log; a last line cut short by a kill is left out."""
    lines: list[dict[str, Any]] = []
    if path.is_file():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def draw_curves(log: list[dict[str, Any]], path: Path) -> bool:
    """Draw losses, discriminator scores and metrics against images shown, one background band per resolution.

    Args:
        log: Lines of :func:`read_log`.
        path: PNG file.
    Returns:
        False if matplotlib is not installed or there is nothing to draw yet.
    """
    ticks = [line for line in log if line["event"] == "tick"]
    if not ticks:
        return False
    try:
        import matplotlib
    except ModuleNotFoundError:
        return False
    matplotlib.use("agg")
    from matplotlib.figure import Figure

    scores = [line for line in log if line["event"] == "score"]
    names = sorted({name for line in scores for name in line if name not in ("event", "images")})
    groups = [("loss", ["g_loss", "d_loss", "penalty"], ticks), ("D score", ["real_score", "fake_score"], ticks)]
    for family in sorted({name.split("_")[0] for name in names}):
        groups.append((family, [name for name in names if name.split("_")[0] == family], scores))
    figure = Figure(figsize=(9, 2.6 * len(groups)), layout="constrained")
    for axis, (title, keys, lines) in zip(
        np.atleast_1d(figure.subplots(len(groups), sharex=True)), groups, strict=True
    ):
        _shade_phases(axis, ticks)
        for key in keys:
            points = [(line["images"] / 1000, line[key]) for line in lines if line.get(key) is not None]
            if points:
                axis.plot(*zip(*points, strict=True), label=key, marker="." if lines is scores else None)
        axis.set_ylabel(title)
        axis.legend(fontsize="small")
    axis.set_xlabel("thousand real images shown")
    with write_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
    return True


def _shade_phases(axis: Any, ticks: list[dict[str, Any]]) -> None:
    """Paint a band for each resolution, darker while it fades in."""
    start = 0.0
    for index, tick in enumerate(ticks):
        end = tick["images"] / 1000
        following = ticks[index + 1] if index + 1 < len(ticks) else None
        state = (tick["resolution"], tick["alpha"] < 1)
        if following is None or (following["resolution"], following["alpha"] < 1) != state:
            shade = 0.06 + 0.05 * (tick["level"] % 2)
            axis.axvspan(start, end, color="tab:blue", alpha=shade * (2 if state[1] else 1), linewidth=0)
            if not state[1]:
                axis.annotate(
                    f"{state[0]}",
                    ((start + end) / 2, 1),
                    xycoords=("data", "axes fraction"),
                    ha="center",
                    va="bottom",
                    fontsize="small",
                )
            start = end


def _open_board(folder: Path, images_shown: int, say: Callable[[str], None]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say(
            "TensorBoard is not installed: no event files, log.jsonl has everything "
            "(pip install celebahq-tools[tensorboard])"
        )
        return None
    return SummaryWriter(str(folder), purge_step=images_shown or None)
