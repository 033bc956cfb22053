"""The settings of a build."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from celebahq_tools.errors import ConfigError

MIN_SIZE, MAX_SIZE = 64, 1024

DEFAULT_DEJPEG = "jpeg-resnet"
DEFAULT_SR = "realsr-df2k"

# Raised whenever a change of code changes pixels or scores, so that an old work folder is not continued.
PIPELINE_VERSION = "2"


@dataclass(frozen=True)
class BuildConfig:
    """What `celebahq build` was asked to do; checked on construction.

    Attributes:
        input: Folder with the photographs, in CelebA's layout.
        out: HDF5 file to make.
        landmarks: Landmark file to use instead of the folder's own.
        keep: How many faces to keep, the best by score; all if there are fewer.
        size: Side of the faces in pixels, a power of two from 64 to 1024.
        dejpeg: JPEG artifact removal: a registered name, a weights file, or ``none``.
        sr: Super-resolution of faces smaller than ``size``: a registered name, a weights file, or ``none``.
        resample: Filter from 4 x ``size`` to ``size``: ``box`` as in the paper, ``lanczos`` as in its program.
        workers: Worker processes; 0 means one per core.
        device: Where the nets run.
        work: Folder for finished faces and the journal; by default beside ``out`` and removed at the end.
        overwrite: Whether an existing ``out`` may be replaced.
    Raises:
        ConfigError: If a value is out of range.
    """

    input: Path
    out: Path
    landmarks: Path | None = None
    keep: int = 30_000
    size: int = 1024
    dejpeg: str = DEFAULT_DEJPEG
    sr: str = DEFAULT_SR
    resample: Literal["box", "lanczos"] = "box"
    workers: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    work: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ConfigError(f"--keep {self.keep}: keep at least one face")
        if not MIN_SIZE <= self.size <= MAX_SIZE or self.size & (self.size - 1):
            raise ConfigError(f"--size {self.size}: must be a power of two from {MIN_SIZE} to {MAX_SIZE}")
        if self.workers < 0:
            raise ConfigError(f"--workers {self.workers}: must be 0 (one per core) or more")

    @property
    def worker_count(self) -> int:
        """Worker processes to start."""
        if self.workers:
            return self.workers
        # Cores this process may use, which a container or scheduler can make fewer than the machine has.
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @property
    def work_folder(self) -> Path:
        """Folder for finished faces and the journal."""
        return self.work or self.out.with_name(f"{self.out.name}.work")
