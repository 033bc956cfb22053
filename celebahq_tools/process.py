"""The work on one photograph: open, restore, align, score, and keep the face until the selection."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.align.face import (
    MIN_PHOTO_FRACTION,
    AlignedFace,
    Observer,
    align_face,
    choose_superres_factor,
)
from celebahq_tools.align.quad import Alignment
from celebahq_tools.build_config import BuildConfig
from celebahq_tools.errors import CelebahqError, ConfigError, RejectionError
from celebahq_tools.rank.blockiness import measure_crop_blockiness
from celebahq_tools.rank.duplicates import encode_thumb, make_thumb
from celebahq_tools.rank.quality import score_face
from celebahq_tools.rank.spectrum import QualityScore
from celebahq_tools.restore import NETLESS, Kind, load_restorer
from celebahq_tools.restore.base import Restorer
from celebahq_tools.restore.net_service import NetService
from celebahq_tools.restore.resample import Lanczos
from celebahq_tools.source.agreement import check_agreement
from celebahq_tools.source.detector import FaceDetector, load_detector
from celebahq_tools.source.photo import check_landmarks, decode_photo, read_photo_file
from celebahq_tools.source.plausibility import check_plausible, fit_head
from celebahq_tools.stopwatch import Stopwatch
from celebahq_tools.store.encoding import EncodedFace, encode_face
from celebahq_tools.types import ItemRecord, Pixels, SourceItem

# Errors of the machine, not of a photograph: going on would reject every photograph that follows.
_FATAL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE}


@dataclass(frozen=True)
class Stages:
    """The configured stages, with nets loaded."""

    size: int
    resample: Literal["box", "lanczos"]
    alignment: Alignment
    guards: tuple[str, ...]
    min_photo: float
    detector: FaceDetector | None
    dejpeg: Restorer
    choose_superres: Callable[[float], Restorer]


@dataclass(frozen=True)
class TimedRestorer:
    """A restorer whose time is booked on a stage of its own."""

    restorer: Restorer
    stage: str
    watch: Stopwatch

    @property
    def scale(self) -> int:
        """As the restorer's."""
        return self.restorer.scale

    @property
    def halo(self) -> int:
        """As the restorer's."""
        return self.restorer.halo

    def restore(self, pixels: Pixels) -> Pixels:
        """As the restorer's."""
        with self.watch.stage(self.stage):
            return self.restorer.restore(pixels)


@lru_cache(maxsize=1)
def load_stages(config: BuildConfig, nets: NetService | None = None) -> Stages:
    """Return the stages of a build, loading its nets once per process.

    Args:
        config: Settings of the build.
        nets: Where nets run, if not in this process.
    Raises:
        WeightsError: If weights are missing; the message says how to install them.
        ConfigError: If a restorer's name is unknown or the device is not there.
    """
    served: Mapping[str, Restorer] = nets.connect() if nets is not None else {}

    def load(kind: Kind, name: str) -> Restorer:
        if kind in served and name not in NETLESS:
            return served[kind]
        return load_restorer(kind, name, device=config.device)

    superres = load("sr", config.sr)

    def choose_superres(zoom: float) -> Restorer:
        # A net has one scale; Lanczos takes the power of two that the original would have asked of its net.
        return Lanczos(choose_superres_factor(zoom)) if isinstance(superres, Lanczos) else superres

    return Stages(
        size=config.size,
        resample=config.resample,
        alignment=config.alignment,
        guards=config.active_guards,
        min_photo=config.min_photo if "border" in config.active_guards else MIN_PHOTO_FRACTION,
        detector=load_detector() if config.detects or "detector" in config.active_guards else None,
        dejpeg=load("dejpeg", config.dejpeg),
        choose_superres=choose_superres,
    )


def process_photo(
    pixels: Pixels,
    landmarks: NDArray[np.float32],
    stages: Stages,
    *,
    observe: Observer | None = None,
    watch: Stopwatch | None = None,
) -> tuple[AlignedFace, QualityScore]:
    """Turn one photograph into a face picture and its score; a pure function of its arguments.

    Args:
        pixels: (H, W, 3) uint8 RGB photograph.
        landmarks: (5, 2) in pixels of the photograph.
        stages: As made by :func:`load_stages`.
        observe: Called with the name and picture of each step, for people who want to look.
        watch: Is given the time of each stage: ``dejpeg``, ``superres``, ``align``, ``score``.
    Raises:
        RejectionError: If the photograph cannot give a face.
    """
    watch = watch or Stopwatch()
    check_landmarks(landmarks, width=pixels.shape[1], height=pixels.shape[0])
    with watch.stage("align"):
        face = align_face(
            pixels,
            landmarks,
            out_size=stages.size,
            resample=stages.resample,
            alignment=stages.alignment,
            min_photo=stages.min_photo,
            dejpeg=TimedRestorer(stages.dejpeg, "dejpeg", watch),
            superres=lambda zoom: TimedRestorer(stages.choose_superres(zoom), "superres", watch),
            observe=observe,
        )
    with watch.stage("score"):
        blockiness = measure_crop_blockiness(pixels, face.crop) if "blockiness" in stages.guards else None
        return face, score_face(face.pixels, photo=face.mask_photo(), zoom=face.zoom, blockiness=blockiness)


def find_landmarks(pixels: Pixels, face: int, stages: Stages) -> tuple[NDArray[np.float32] | None, int]:
    """Return the landmarks of a photograph's n-th largest face, None if it has fewer, and the number of its faces.

    Args:
        pixels: (H, W, 3) uint8 RGB photograph.
        face: Which face, 0 being the largest.
        stages: With a detector.
    """
    if stages.detector is None:
        raise ConfigError("no detector was loaded; pass --landmarks detect")
    found = stages.detector.detect(pixels)
    return (found[face].landmarks if face < len(found) else None), len(found)


def guard_landmarks(pixels: Pixels, landmarks: NDArray[np.float32], stages: Stages, *, given: bool) -> dict[str, float]:
    """Reject landmarks that the guards object to; return what they measured.

    Args:
        pixels: (H, W, 3) uint8 RGB photograph.
        landmarks: (5, 2) in its pixels.
        stages: Which guards are on.
        given: Whether the landmarks come from somebody else than the detector, which agrees with itself.
    Raises:
        RejectionError: With stage ``landmarks``.
    """
    height, width = pixels.shape[:2]
    check_landmarks(landmarks, width=width, height=height)
    measured = {}
    if "landmarks" in stages.guards:
        measured["misfit"] = check_plausible(landmarks, width, height).misfit
    if "detector" in stages.guards and given and stages.detector is not None:
        distance = check_agreement(pixels, landmarks, fit_head(landmarks), stages.detector)
        if distance is not None:
            measured["detector_distance"] = distance
    return measured


def process_item(
    item: SourceItem, config: BuildConfig, save: Callable[[EncodedFace], None], nets: NetService | None = None
) -> ItemRecord:
    """Work on one item in a worker process and save its face.

    Args:
        item: The photograph.
        config: Settings of the build.
        save: Is given the face when it is finished; called before the record is returned, and not for a rejection.
        nets: Where nets run, if not in this process.
    Returns:
        The scored record, or the rejection. Unforeseen errors come back as ``internal.error``: they are listed, and
        tried again when the build is run again.
    Raises:
        OSError: If the disk is full or the folder is not writable: nothing after it could succeed.
        CelebahqError: If the settings cannot work at all, such as missing weights.
    """
    stages = load_stages(config, nets)
    watch = Stopwatch()
    # The record shares the watch's dictionary: the time of a photograph that is rejected later is in it, too.
    record = ItemRecord(
        item.index, item.file, landmarks=item.landmarks, stage="internal", reason="error", seconds=watch.seconds
    )
    # What was found out before a rejection is kept as well.
    facts: dict[str, Any] = {}
    record = replace(record, facts=facts)
    try:
        if item.problem is not None:
            raise item.problem
        with watch.stage("read"):
            data, sha256 = read_photo_file(item.path)
        record = replace(record, sha256=sha256)
        with watch.stage("decode"):
            pixels = decode_photo(data, upright=item.face is not None)
        landmarks = item.landmarks
        if item.face is not None:
            with watch.stage("detect"):
                landmarks, facts["faces"] = find_landmarks(pixels, item.face, stages)
            record = replace(record, landmarks=landmarks)
        if landmarks is None:
            raise RejectionError("landmarks", "no_face", "the detector sees none")
        with watch.stage("guard"):
            facts |= guard_landmarks(pixels, landmarks, stages, given=item.face is None)
        face, score = process_photo(pixels, landmarks, stages, watch=watch)
        thumb = encode_thumb(make_thumb(face.pixels))
        with watch.stage("encode"):
            encoded = encode_face(face.pixels)
        with watch.stage("save"):
            save(encoded)
    except RejectionError as rejection:
        return replace(record, stage=rejection.stage, reason=rejection.reason, detail=rejection.detail)
    except CelebahqError:
        raise
    except OSError as error:
        if error.errno in _FATAL_ERRNOS:
            raise
        return replace(record, detail=f"{type(error).__name__}: {error}")
    except Exception as error:
        return replace(record, detail=f"{type(error).__name__}: {error}")
    return replace(
        record,
        quad=face.crop.corners,
        zoom=face.zoom,
        photo_fraction=face.photo_fraction,
        score=score.value,
        components=score.components,
        stage="",
        reason="",
        thumb=thumb,
    )
