"""Write a dataset in another program's format: checks first, then whole or absent."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from celebahq_tools.atomic import write_atomically, write_folder_atomically
from celebahq_tools.errors import ConfigError, ShapeError
from celebahq_tools.store.export import EXPORTERS
from celebahq_tools.store.export.base import Exporter, ExportJob
from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.types import ProgressListener


@dataclass(frozen=True)
class ExportConfig:
    """Settings of an export.

    Attributes:
        file: The dataset.
        to: A name in :data:`celebahq_tools.store.export.EXPORTERS`.
        out: File or folder to make.
        size: Height of the level to export; the largest when None.
        png_level: Compression of PNG files, 0 to 9.
        shard_size: Images to a shard of the formats in shards.
        workers: Encoding threads; 0 for one per core.
        overwrite: Replace an existing output.
    """

    file: Path
    to: str
    out: Path
    size: int | None = None
    png_level: int = 1
    shard_size: int = 1000
    workers: int = 0
    overwrite: bool = False


def run_export(config: ExportConfig, listener: ProgressListener) -> int:
    """Write a dataset in another format and return the number of images.

    Args:
        config: The settings.
        listener: Is told of every image.
    Raises:
        ConfigError: If the format is unknown, or the output exists and may not be replaced.
        ShapeError: If the dataset has no such level, or the format cannot hold it.
        StoreError: If the dataset is damaged; nothing is left at ``out``.
        OSError: If the disk is full or the folder cannot be written; nothing is left at ``out``.
    """
    exporter = EXPORTERS.load(config.to)
    with DatasetReader(config.file) as reader:
        heights = [shape[1] for shape in reader.shapes]
        height = config.size or heights[0]
        if height not in heights:
            raise ShapeError(f"{config.file}: no level of size {height}; pass --size with one of {heights}")
        job = ExportJob(
            reader,
            name=config.out.name if exporter.is_folder else config.out.stem,
            height=height,
            png_level=config.png_level,
            shard_size=config.shard_size,
            workers=config.workers or os.cpu_count() or 1,
            advance=lambda: listener.advance(None),
        )
        exporter.check(job)
        check_output(config, exporter)
        listener.begin_stage(config.to, total=len(reader), done=0)
        write_whole = write_folder_atomically if exporter.is_folder else write_atomically
        with write_whole(config.out) as target:
            exporter.write(job, target)
        return len(reader)


def check_output(config: ExportConfig, exporter: Exporter) -> None:
    """Raise ConfigError if the output exists and may not be replaced, or its folder is missing.

    A folder is replaced only if it holds nothing but what an export of the same format makes: ``--overwrite`` must
    never delete somebody's other files.
    """
    out = config.out
    if not out.name or out.name == "..":
        raise ConfigError(f"{out}: a folder that is in use cannot be replaced; give the new one a name")
    if out.suffix.lower() != exporter.suffix and exporter.suffix:
        raise ConfigError(f"{out}: --to {config.to} makes a file that must be named *{exporter.suffix}")
    if not out.parent.is_dir():
        raise ConfigError(f"{out.parent}: no such folder; make it first, --out goes into it")
    if not out.exists() and not out.is_symlink():
        return
    if exporter.is_folder != out.is_dir() or out.is_symlink():
        kind = "folder" if exporter.is_folder else "file"
        raise ConfigError(f"{out}: exists and is not a {kind}, which --to {config.to} makes; choose another --out")
    if out.samefile(config.file):
        raise ConfigError(f"{out}: is the dataset itself; choose another --out")
    if exporter.is_folder and not any(out.iterdir()):
        return
    if not config.overwrite:
        raise ConfigError(f"{out}: exists already; pass --overwrite to replace it, or another --out")
    if exporter.is_folder:
        foreign = next((name for name in _list_names(out) if not re.fullmatch(exporter.own_names, name)), None)
        if foreign is not None:
            raise ConfigError(
                f"{out}: holds {foreign}, which no export of this kind makes; nothing is deleted, choose another --out"
            )


def _list_names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
