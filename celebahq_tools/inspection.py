"""One photograph through every stage, recorded as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celebahq_tools.build_config import DETECT, BuildConfig
from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.pictures.stages import StageView, draw_stages
from celebahq_tools.process import find_landmarks, load_stages, process_photo
from celebahq_tools.rank.spectrum import QualityScore
from celebahq_tools.source.landmark_file import iterate_landmark_file
from celebahq_tools.source.photo import decode_photo, read_photo_file
from celebahq_tools.types import Pixels


def parse_landmarks(text: str, file: str) -> NDArray[np.float32] | None:
    """Return (5, 2) landmarks from ten numbers, or from the row of a landmark file that names ``file``.

    None stands for the word ``detect``: they are to be found in the photograph.

    Raises:
        InputError: If the text is neither, or the landmark file has no usable row for ``file``.
    """
    if text == DETECT:
        return None
    cells = text.replace(",", " ").split()
    try:
        points = np.array([float(cell) for cell in cells], dtype=np.float32)
    except ValueError:
        points = None
    if points is not None:
        if points.size != 10 or not np.isfinite(points).all():
            raise InputError(f"--landmarks: expected ten finite numbers x,y of five points, got {len(cells)}")
        return points.reshape(5, 2)
    # A row may name the photograph by its path below a folder.
    rows = [row for row in iterate_landmark_file(Path(text)) if row.file.rpartition("/")[2] == file]
    if len({row.file for row in rows}) > 1:
        raise InputError(f"{text}: several rows name a {file}: {rows[0].file} and {rows[-1].file}; give ten numbers")
    if not rows:
        raise InputError(f"{text}: no row names {file}")
    if rows[0].points is None:
        raise InputError(f"{text}: the row of {file} cannot be used: {rows[0].problem}")
    return rows[0].points


def inspect_photo(
    path: Path, landmarks: NDArray[np.float32] | None, config: BuildConfig
) -> tuple[Image.Image, QualityScore]:
    """Return a picture of all steps of one photograph, and its score.

    Args:
        path: The photograph.
        landmarks: (5, 2) in its pixels; None for those of its largest face, with a ``config`` that detects.
        config: Settings of a build; ``input`` and ``out`` are not used.
    Raises:
        InputError: If the photograph cannot give a face; the message says why.
        WeightsError: If weights are missing.
    """
    views: list[StageView] = []

    def observe(name: str, pixels: Pixels, quad: NDArray[np.float64]) -> None:
        views.append(StageView(name, pixels, quad))

    try:
        stages = load_stages(config)
        pixels = decode_photo(read_photo_file(path)[0], upright=landmarks is None)
        if landmarks is None:
            landmarks, _ = find_landmarks(pixels, 0, stages)
        if landmarks is None:
            raise RejectionError("landmarks", "no_face", "the detector sees none")
        face, score = process_photo(pixels, landmarks, stages, observe=observe)
    except RejectionError as rejection:
        raise InputError(f"{path}: {rejection}") from None
    return draw_stages([StageView("input", pixels, face.crop.corners), *views], landmarks, score), score
