"""The settings of a build."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from celebahq_tools.align.quad import Alignment
from celebahq_tools.errors import ConfigError, suggest

MIN_SIZE, MAX_SIZE = 64, 1024

DEFAULT_DEJPEG = "jpeg-resnet"
DEFAULT_SR = "realsr-df2k"

# Raised whenever a change of code changes pixels or scores, so that an old work folder is not continued.
PIPELINE_VERSION = "5"


# What keeps bad faces out, or down; docs/guards.md defines each and measures it.
GUARDS = ("landmarks", "detector", "border", "duplicates", "blockiness")
# A sample or test folder shows few people over and over: leaving duplicates out is asked for, by `--guards all`.
DEFAULT_GUARDS = ("landmarks", "detector", "border", "blockiness")
DETECT = "detect"


def expand_guards(words: Sequence[str]) -> tuple[str, ...]:
    """Return the guards that names stand for, also several in one text: ``all``, ``none``, ``no-NAME`` for all but one.

    Args:
        words: Names; a misspelt one is handed on, so that it is refused like any other.
    """
    names = [name for word in words for name in word.replace(",", " ").split() if name != "none"]
    out = [name.removeprefix("no-") for name in names if name.startswith("no-")]
    if names == ["all"] or (names and len(out) == len(names)):
        return (*(name for name in GUARDS if name not in out), *(name for name in out if name not in GUARDS))
    return tuple(names)


@dataclass(frozen=True)
class BuildConfig:
    """What `celebahq build` was asked to do; checked on construction.

    Attributes:
        input: Folder with the photographs, in CelebA's layout.
        out: HDF5 file to make.
        landmarks: Landmark file to use instead of the folder's own, or ``detect``.
        faces: With ``detect``: the largest face of a photograph, or all of them.
        alignment: Whose crop: the CelebA-HQ program's or the FFHQ program's.
        guards: Which of :data:`GUARDS` are on, as :func:`expand_guards` takes them.
        min_photo: The guard ``border`` rejects a face of which less than this is photograph, 0 to 1.
        mirrored: The guard ``duplicates`` also leaves out mirror images.
        select: File that names the photographs to take and their order, in either official form; none is ranked out.
        only: ``A:B``, positions in the source to work on, the last not included; either may be left out.
        limit: Work on no more than this many photographs, the first; 0 means all.
        keep: How many faces to keep, the best by score; all if there are fewer.
        size: Side of the faces in pixels, a power of two from 64 to 1024.
        dejpeg: JPEG artifact removal: a registered name, a weights file, or ``none``.
        sr: Super-resolution of faces smaller than ``size``: a registered name, a weights file, or ``none``.
        resample: Filter from 4 x ``size`` to ``size``: ``box`` as in the paper, ``lanczos`` as in its program.
        compression: Of the HDF5 file; every reader of HDF5 reads ``gzip``. Pixels and scores do not depend on it.
        workers: Worker processes; 0 means one per core.
        backend: Where workers are: ``loky`` on this machine, ``dask`` or ``ray`` on a cluster.
        scheduler: Address of the cluster's scheduler.
        device: Where the nets run.
        gpus: How many GPUs, or which (``0,2``; ``2,`` for one alone); all by default.
        net_processes: Run nets on the CPU in so many processes of their own, as on GPUs; 0: in the workers.
        work: Folder for finished faces and the journal; by default beside ``out`` and removed at the end.
        overwrite: Whether an existing ``out`` may be replaced.
    Raises:
        ConfigError: If a value is out of range.
    """

    input: Path
    out: Path
    landmarks: str | None = None
    faces: Literal["largest", "all"] = "largest"
    alignment: Alignment = "celebahq"
    guards: tuple[str, ...] = DEFAULT_GUARDS
    min_photo: float = 0.55
    mirrored: bool = False
    select: Path | None = None
    only: str = ""
    limit: int = 0
    keep: int = 30_000
    size: int = 1024
    dejpeg: str = DEFAULT_DEJPEG
    sr: str = DEFAULT_SR
    resample: Literal["box", "lanczos"] = "box"
    compression: Literal["gzip", "lzf", "blosc", "none"] = "gzip"
    workers: int = 0
    backend: Literal["loky", "dask", "ray"] = "loky"
    scheduler: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    gpus: str = ""
    net_processes: int = 0
    work: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ConfigError(f"--keep {self.keep}: keep at least one face")
        if not MIN_SIZE <= self.size <= MAX_SIZE or self.size & (self.size - 1):
            raise ConfigError(f"--size {self.size}: must be a power of two from {MIN_SIZE} to {MAX_SIZE}")
        object.__setattr__(self, "guards", expand_guards(self.guards))
        for guard in self.guards:
            if guard not in GUARDS:
                raise ConfigError(f"--guards {guard}: unknown guard{suggest(guard, GUARDS)}")
        if not 0 <= self.min_photo <= 1:
            raise ConfigError(f"--min-photo {self.min_photo}: must be from 0 to 1")
        if self.faces == "all" and not self.detects:
            raise ConfigError("--faces all: a landmark file names one face a photograph; pass --landmarks detect")
        if self.workers < 0:
            raise ConfigError(f"--workers {self.workers}: must be 0 (one per core) or more")
        if self.limit < 0:
            raise ConfigError(f"--limit {self.limit}: must be 0 (all) or more")
        if self.gpus and self.device == "cpu":
            raise ConfigError("--gpus and --device cpu: leave one of them out")
        if self.gpus and self.backend != "loky":
            raise ConfigError("--gpus: on a cluster start one worker per GPU, each with its own CUDA_VISIBLE_DEVICES")
        if self.net_processes < 0 or (self.net_processes and (self.gpus or self.backend != "loky")):
            raise ConfigError("--net-processes: a number of processes of this machine; not with --gpus or a cluster")
        if self.scheduler is not None and self.backend == "loky":
            raise ConfigError("--scheduler: only for a cluster; add --backend dask")
        if self.select is not None and self.only:
            raise ConfigError(
                "--select and --only: both choose photographs; use --select with --limit, or --only alone"
            )
        self.span  # noqa: B018  # a wrong one has to be noticed here

    @property
    def span(self) -> slice:
        """Positions in the source that ``only`` asks for.

        Raises:
            ConfigError: If it is not ``A:B``.
        """
        found = re.fullmatch(r"(\d*):(\d*)", self.only or ":")
        start, stop = (int(text) if text else None for text in found.groups()) if found else (None, None)
        if not found or (start is not None and stop is not None and stop <= start):
            raise ConfigError(f"--only {self.only}: expected A:B with A below B, such as 1000:3000")
        return slice(start, stop)

    @property
    def detects(self) -> bool:
        """Whether faces and landmarks are found by the detector."""
        return self.landmarks == DETECT

    @property
    def active_guards(self) -> tuple[str, ...]:
        """The guards that are on; whoever names the photographs by ``select`` wants them all, the flawed as well."""
        return self.guards if self.select is None else tuple(guard for guard in self.guards if guard == "blockiness")

    @property
    def duplicates(self) -> Literal["off", "near", "mirrored"]:
        """How the choice of faces treats duplicates."""
        return "off" if "duplicates" not in self.active_guards else "mirrored" if self.mirrored else "near"

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
