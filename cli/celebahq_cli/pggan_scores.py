"""Checkpoints joined to metrics: which are to be scored, which have been, and the file that remembers it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from gan_metrics.curves import ScoredCheckpoint
from tqdm import tqdm

from celebahq_cli.pggan_metrics import Scorer
from celebahq_tools.atomic import write_text_atomically
from celebahq_tools.errors import ConfigError, InputError, StoreError
from celebahq_tools.tensor_file import list_checkpoints
from pggan_core.checkpoint import read_checkpoint, read_checksum
from pggan_core.data import LevelSource, open_source
from pggan_core.gallery import Gallery
from pggan_core.generator_file import TrainedGenerator, from_checkpoint
from pggan_core.schedule import schedule_at
from pggan_core.setup import choose_device


def list_wanted(run: Path, *, newest: bool) -> list[Path]:
    """Return the checkpoints of a run folder, oldest first, or the only one that was named.

    Raises:
        InputError: If there are none.
    """
    if run.is_file():
        return [run]
    found = list_checkpoints(run / "checkpoints")
    if not found:
        raise InputError(f"{run}: holds no checkpoints; name a run folder of `pggan train`, or one of its checkpoints")
    return found[-1:] if newest else found


def evaluate_checkpoints(
    paths: Sequence[Path], metrics: tuple[str, ...], *, images: int, data: Path | None, target: Path, device: str
) -> list[ScoredCheckpoint]:
    """Return the scores of checkpoints, computing those that ``target`` does not hold yet.

    Args:
        paths: Checkpoints of one run, oldest first.
        metrics: Names of metrics.
        images: Images per set; 0 takes the dataset, at most 16,384.
        data: Real images; None takes the run's own.
        target: JSON file that grows with each finished checkpoint.
        device: Where the generator computes.
    Raises:
        CelebahqError: If a checkpoint, the dataset or the file cannot be used.
    """
    if not metrics:
        raise ConfigError("no metric: name some with --metrics, such as swd,fid")
    if not target.absolute().parent.is_dir():
        raise ConfigError(f"{target}: no such folder {target.parent}; make it first")
    chosen = choose_device(device)
    known: dict[str, Any] | None = None
    source: LevelSource | None = None
    scorer: Scorer | None = None
    rows = []
    with tqdm(paths, unit="checkpoint", dynamic_ncols=True, disable=None) as bar:
        for path in bar:
            bar.set_postfix_str(path.name)
            try:
                trained = from_checkpoint(read_checkpoint(path), path)
            except StoreError as error:
                if len(paths) == 1:
                    raise
                bar.write(f"{error}; passed over", file=sys.stderr)
                continue
            if trained.config is None:
                raise InputError(f"{path}: does not hold the settings of its run")
            where = data or Path(trained.config.data)
            if known is None or source is None or scorer is None:
                if not str(where) or not where.name:
                    raise ConfigError(f"{path}: does not say what it was trained on; pass --data")
                settings = {
                    "metrics": list(metrics),
                    "num_images": images,
                    "data": str(where),
                    "seed": trained.config.seed,
                }
                known = _read_known(target, settings)
                source = open_source(where)
                scorer = Scorer(metrics, images, trained.config.seed)
            entry = known["checkpoints"].get(path.name)
            # A run that went on from an older checkpoint writes others under the same names.
            checksum = read_checksum(path)
            if entry is None or entry.get("checksum") != checksum:
                scores = scorer(_take_snapshot(trained, source, chosen))
                finite = {name: value if math.isfinite(value) else None for name, value in scores.items()}
                entry = {"images_shown": trained.images_shown, "checksum": checksum, "scores": finite}
                known["checkpoints"][path.name] = entry
                write_text_atomically(target, json.dumps(known, indent=1) + "\n")
            rows.append(ScoredCheckpoint(entry["images_shown"], entry["scores"]))
    if not rows:
        raise InputError(f"{paths[0].parent}: none of its {len(paths)} checkpoints can be read")
    return rows


def _take_snapshot(trained: TrainedGenerator, source: LevelSource, device: torch.device) -> Any:
    """Return what the trainer itself would have handed to the metrics at that moment."""
    if trained.config is None:
        raise InputError(f"{trained.path}: does not hold the settings of its run")
    gallery = Gallery(source, trained.network.to(device), device, trained.config.seed)
    schedule = trained.config.schedule(trained.network.config.levels)
    return gallery.take_snapshot(trained.images_shown, schedule_at(schedule, max(trained.images_shown - 1, 0)))


def _read_known(target: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what the file holds already, or an empty beginning.

    Raises:
        InputError: If it is of other settings, or of another program.
    """
    if not target.exists():
        return {"settings": settings, "checkpoints": {}}
    try:
        known: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
        stored = known["settings"]
        for entry in known["checkpoints"].values():
            int(entry["images_shown"]), dict(entry["scores"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{target}: not a file of `pggan evaluate` ({error}); remove it or name another --out"
        ) from None
    different = [
        f"{name} {stored.get(name)} (now {value})" for name, value in settings.items() if stored.get(name) != value
    ]
    if different:
        raise InputError(
            f"{target}: holds scores of other settings: {', '.join(different)}; "
            "name another --out to keep both, or remove it"
        )
    return known
