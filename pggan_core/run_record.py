"""What a run folder holds, read without trusting it: unfinished and damaged runs are read as far as they go."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from celebahq_tools.config import resolve_config
from celebahq_tools.errors import ConfigError, InputError
from pggan_core.config import TrainConfig
from pggan_core.report import LOG_NAME

_VIDEOS = (".mp4", ".webm")
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_TICK_NUMBERS = ("images", "resolution", "level", "alpha", "seconds")


@dataclass(frozen=True)
class Phase:
    """A stretch of the run on one resolution, fading in or stable.

    Attributes:
        resolution: Side in pixels.
        fading: Whether the resolution fades in.
        start, end: Thousands of real images; the end is where it stands if the run is still in it.
        seconds: Time spent in it, sample grids, checkpoints and scores included; None if the log does not say.
        batch: Minibatch size; None if the log does not say.
        level: Doublings from the base grid.
    """

    resolution: int
    fading: bool
    start: float
    end: float
    seconds: float | None
    batch: int | None
    level: int

    @property
    def name(self) -> str:
        """For people, such as ``fading in 8x8``."""
        return f"{'fading in ' if self.fading else ''}{self.resolution}x{self.resolution}"

    @property
    def images_per_second(self) -> float | None:
        """Real images shown per second."""
        return (self.end - self.start) * 1000 / self.seconds if self.seconds else None


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint as its header describes it.

    Attributes:
        path: The file.
        images: Real images shown, from its name; None if the name does not say.
        problem: Why it cannot be used, as far as the header and the length tell; empty if it looks whole.
    """

    path: Path
    images: int | None
    problem: str = ""


@dataclass(frozen=True)
class RunRecord:
    """A run, as far as its folder can be read.

    Attributes:
        folder: The run folder.
        settings: ``config.json``; empty if it cannot be read.
        config: The same, checked; None if it cannot be read.
        ticks, scores: Lines of the log, in the order of images shown, each at most once.
        grids: (images shown, file) of the generated samples, in order.
        reals: The grid of reals, if there.
        videos: Films in the run folder.
        checkpoints: Oldest first.
        problems: Sentences on what is missing or damaged.
    """

    folder: Path
    settings: Mapping[str, Any]
    config: TrainConfig | None
    ticks: Sequence[Mapping[str, Any]]
    scores: Sequence[Mapping[str, Any]]
    grids: Sequence[tuple[int, Path]]
    reals: Path | None
    videos: Sequence[Path]
    checkpoints: Sequence[CheckpointFile]
    problems: Sequence[str]

    @property
    def images_shown(self) -> int:
        """Real images shown, as far as the log says."""
        lines = [*self.ticks, *self.scores]
        return max((int(line["images"]) for line in lines), default=0)

    @property
    def images_total(self) -> int | None:
        """Real images to show in all; None without settings."""
        return int(self.config.kimg * 1000) if self.config else None


def read_run(folder: Path) -> RunRecord:
    """Return what a run folder holds.

    Raises:
        InputError: If the folder is not there or holds nothing of a run.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such run folder; pass the folder that `pggan train` printed as --run-dir")
    problems: list[str] = []
    settings, config = _read_settings(folder / "config.json", problems)
    ticks, scores = _read_lines(folder / LOG_NAME, problems)
    samples = folder / "samples"
    named = [(read_images_shown(path), path) for path in sorted(samples.glob("fakes-*.png"))]
    grids = [(images, path) for images, path in named if images is not None and _is_picture(path, problems)]
    reals = samples / "reals.png"
    checkpoints = [check_checkpoint(path) for path in sorted((folder / "checkpoints").glob("*.safetensors"))]
    problems += [f"{found.path.name}: {found.problem}" for found in checkpoints if found.problem]
    if not (settings or ticks or scores or grids or checkpoints):
        raise InputError(
            f"{folder}: holds no run of `pggan train`; pass the folder it printed, with config.json and log.jsonl"
        )
    if not grids:
        problems.append("There are no sample grids yet.")
    if not checkpoints:
        problems.append("There is no checkpoint yet: the run cannot be resumed.")
    return RunRecord(
        folder,
        settings,
        config,
        ticks,
        scores,
        grids,
        reals if reals.is_file() and _is_picture(reals, problems) else None,
        [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _VIDEOS],
        checkpoints,
        problems,
    )


def check_checkpoint(path: Path) -> CheckpointFile:
    """Return what the header of a checkpoint says; the weights themselves are not read.

    A safetensors file begins with the length of its header, which says where the last tensor ends.
    """
    images = read_images_shown(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            if not 2 <= length <= size - 8:
                return CheckpointFile(path, images, "damaged: the file is cut short")
            header = json.loads(file.read(length))
        entries = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        whole = 8 + length + max(entries, default=0)
        known = "format" in header.get("__metadata__", {})
    except OSError as error:
        return CheckpointFile(path, images, f"cannot be read: {error.strerror}")
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return CheckpointFile(path, images, "damaged: the header is not readable")
    if size != whole:
        return CheckpointFile(path, images, f"damaged: {size} bytes where {whole} belong")
    return CheckpointFile(path, images, "" if known else "not a checkpoint of `pggan train`")


def list_phases(record: RunRecord) -> list[Phase]:
    """Return the phases a run has gone through, in order.

    A line of the log says in which phase its last step was. Where the phase changed in between, the time is divided
    by images, and the place of the change is taken from the settings if they name one there.
    """
    changes = _list_changes(record)
    pieces: list[tuple[tuple[int, bool, int], float, float, float | None, int | None]] = []
    done, clock = 0.0, 0.0
    for tick in record.ticks:
        end, seconds = tick["images"] / 1000, float(tick["seconds"])
        elapsed = seconds - clock if seconds > clock else None
        key = (int(tick["resolution"]), tick["alpha"] < 1, int(tick["level"]))
        start = done
        if pieces and pieces[-1][0] != key:
            turn = next((place for place in changes if done < place < end), None)
            if turn is not None:
                share = None if elapsed is None else elapsed * (turn - done) / (end - done)
                pieces.append((pieces[-1][0], done, turn, share, pieces[-1][4]))
                start, elapsed = turn, None if elapsed is None or share is None else elapsed - share
        pieces.append((key, start, end, elapsed, tick.get("batch")))
        done, clock = end, seconds
    phases: list[Phase] = []
    for key, start, end, spent, batch in pieces:
        last = phases[-1] if phases else None
        if last is not None and (last.resolution, last.fading, last.level) == key:
            total = None if last.seconds is None or spent is None else last.seconds + spent
            phases[-1] = Phase(last.resolution, last.fading, last.start, end, total, batch, last.level)
        else:
            phases.append(Phase(key[0], key[1], start, end, spent, batch, key[2]))
    return phases


def _list_changes(record: RunRecord) -> list[float]:
    """Return the thousands of images at which the settings change phase."""
    if record.config is None or not record.config.grow:
        return []
    places, place = [], 0.0
    for _ in range(16):  # More doublings than any image has.
        places += [place + record.config.stable_kimg, place + record.config.stable_kimg + record.config.fade_kimg]
        place = places[-1]
    return places


def _read_settings(path: Path, problems: list[str]) -> tuple[Mapping[str, Any], TrainConfig | None]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append("config.json is missing: settings and the planned length are not known.")
        return {}, None
    except (OSError, ValueError) as error:
        problems.append(f"config.json cannot be read ({error}): settings and the planned length are not known.")
        return {}, None
    if not isinstance(settings, dict):
        problems.append("config.json is not a table of settings.")
        return {}, None
    try:
        return settings, resolve_config(TrainConfig, preset=settings)
    except ConfigError as error:
        problems.append(f"config.json has settings of another version: {error}")
        return settings, None


def _read_lines(path: Path, problems: list[str]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return ticks and scores; a run that was killed and resumed may have written a stretch twice: the last counts."""
    try:
        texts = path.read_bytes().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        problems.append(f"{path.name} is missing: there are no curves.")
        return [], []
    except OSError as error:
        problems.append(f"{path.name} cannot be read: {error.strerror}")
        return [], []
    found: dict[str, dict[int, Mapping[str, Any]]] = {"tick": {}, "score": {}}
    broken = 0
    for text in texts:
        line = _parse_line(text)
        if line is None:
            broken += 1
        elif line["event"] in found:
            found[line["event"]][int(line["images"])] = line
    if broken:
        problems.append(f"{path.name}: {broken} of {len(texts)} lines are damaged and left out.")
    if not found["tick"]:
        problems.append(f"{path.name} holds no finished tick yet: there are no curves.")
    return [found["tick"][at] for at in sorted(found["tick"])], [found["score"][at] for at in sorted(found["score"])]


def _parse_line(text: str) -> Mapping[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or not isinstance(line.get("event"), str):
        return None
    wanted = _TICK_NUMBERS if line["event"] == "tick" else ("images",)
    return line if all(is_number(line.get(name)) for name in wanted) and line["images"] >= 0 else None


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value of the log is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_images_shown(path: Path) -> int | None:
    """Return the number of images that the name of a checkpoint or grid ends with; None for a name of another kind."""
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None


def _is_picture(path: Path, problems: list[str]) -> bool:
    """Return whether a PNG file has both its ends; a long run has too many large grids to decode all of them."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_PNG_START))
            file.seek(-min(len(_PNG_END), path.stat().st_size), 2)
            whole = start == _PNG_START and file.read() == _PNG_END
    except OSError as error:
        problems.append(f"{path.name} cannot be read: {error.strerror}")
        return False
    if not whole:
        problems.append(f"{path.name} is damaged and left out.")
    return whole
