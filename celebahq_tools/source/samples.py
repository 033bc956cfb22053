"""A small in-the-wild folder in CelebA's layout, made from public-domain photographs that installed packages carry."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from celebahq_tools.atomic import write_folder_atomically
from celebahq_tools.errors import ConfigError, InputError
from celebahq_tools.source.landmark_file import COLUMNS


@dataclass(frozen=True, eq=False)
class Portrait:
    """A photograph with hand-placed landmarks.

    Attributes:
        subject: Who it shows, and why it may be used.
        load: Returns the picture.
        landmarks: (5, 2) in its pixels, good to about one pixel.
    """

    subject: str
    load: Callable[[], Image.Image]
    landmarks: NDArray[np.float64]


@dataclass(frozen=True)
class Variation:
    """One photograph of the folder: a portrait rotated, reduced, cut and compressed.

    Attributes:
        portrait: A name in :data:`PORTRAITS`.
        scale: Size relative to the portrait, at most 1.
        quality: JPEG quality.
        angle: Counter-clockwise rotation in degrees.
        reach: How far the cut reaches left, up, right and down from the middle of the face, in eye distances.
    """

    portrait: str
    scale: float
    quality: int
    angle: float = 0.0
    reach: tuple[float, float, float, float] = (9.0, 9.0, 9.0, 9.0)


def _load_astronaut() -> Image.Image:
    from skimage.data import astronaut

    return Image.fromarray(astronaut())  # type: ignore[no-untyped-call]


def _load_hopper() -> Image.Image:
    try:
        from matplotlib import cbook
    except ImportError:
        raise ConfigError("the sample photographs need matplotlib: pip install matplotlib") from None
    return Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")


PORTRAITS = {
    "astronaut": Portrait(
        "Eileen Collins, NASA, public domain (bundled with scikit-image)",
        _load_astronaut,
        np.array([(203, 100.5), (247, 103), (225, 126.5), (203.5, 139.5), (244.5, 141)]),
    ),
    "hopper": Portrait(
        "Grace Hopper, official U.S. Navy portrait of 1984, public domain (bundled with matplotlib)",
        _load_hopper,
        np.array([(222, 190), (306, 186), (269, 239), (229, 280), (308, 277)]),
    ),
}

# Several sizes, JPEG qualities 20 to 95, rotations, and faces cut by each border.
VARIATIONS = (
    Variation("astronaut", 1.0, 95),
    Variation("hopper", 1.0, 90),
    Variation("hopper", 0.5, 75),
    Variation("hopper", 0.35, 50, angle=10, reach=(1.9, 1.9, 1.9, 3.0)),
    Variation("astronaut", 0.8, 40, angle=-15, reach=(3.0, 1.6, 3.0, 4.0)),
    Variation("astronaut", 0.6, 20),
    Variation("hopper", 0.5, 20, reach=(9.0, 1.2, 9.0, 9.0)),
    Variation("astronaut", 1.0, 85, reach=(1.1, 2.2, 4.0, 4.0)),
    Variation("astronaut", 0.4, 75),
    Variation("hopper", 0.7, 60, angle=-12, reach=(1.9, 1.9, 1.2, 1.5)),
    Variation("astronaut", 0.7, 30, angle=20, reach=(3.0, 1.4, 3.0, 4.0)),
    Variation("hopper", 0.25, 95),
)


def write_sample_folder(folder: Path) -> int:
    """Write the sample photographs in CelebA's layout.

    Beside the good ones stand a truncated file and a landmark row without a file, so that a first build shows what
    rejections look like.

    Args:
        folder: Made if missing; must be empty otherwise.
    Returns:
        The number of good photographs.
    Raises:
        InputError: If the folder is not empty.
        ConfigError: If a package that carries a photograph is not installed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: not an empty folder; choose another one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with write_folder_atomically(folder) as whole:
        _write_samples(whole)
    return len(VARIATIONS)


def _write_samples(folder: Path) -> None:
    images = folder / "img_celeba"
    images.mkdir()
    (folder / "Anno").mkdir()
    rows = []
    for number, variation in enumerate(VARIATIONS, start=1):
        name = f"{number:06d}.jpg"
        data, landmarks = render_variation(variation)
        (images / name).write_bytes(data)
        rows.append(_format_row(name, landmarks))
    truncated = f"{len(rows) + 1:06d}.jpg"
    (images / truncated).write_bytes(data[: len(data) // 2])
    rows.append(_format_row(truncated, landmarks))
    rows.append(_format_row(f"{len(rows) + 1:06d}.jpg", landmarks))
    text = "\n".join([str(len(rows)), " ".join(COLUMNS), *rows]) + "\n"
    (folder / "Anno" / "list_landmarks_celeba.txt").write_text(text)


def render_variation(variation: Variation) -> tuple[bytes, NDArray[np.float64]]:
    """Return the JPEG file of a variation, and its landmarks (5, 2) in the file's pixels."""
    portrait = PORTRAITS[variation.portrait]
    image, points = portrait.load(), portrait.landmarks
    eye_distance = float(np.hypot(*(points[1] - points[0]))) * variation.scale
    size = (round(image.width * variation.scale), round(image.height * variation.scale))
    points = (points + 0.5) * (np.array(size) / image.size) - 0.5
    image = image.resize(size, Image.Resampling.LANCZOS)
    middle = points.mean(axis=0)
    if variation.angle:
        image = image.rotate(variation.angle, Image.Resampling.BICUBIC, center=(middle[0] + 0.5, middle[1] + 0.5))
        turn = np.deg2rad(variation.angle)
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        points = (points - middle) @ rotation.T + middle
    left, up, right, down = (reach * eye_distance for reach in variation.reach)
    box = (
        max(0, round(middle[0] - left)),
        max(0, round(middle[1] - up)),
        min(image.width, round(middle[0] + right)),
        min(image.height, round(middle[1] + down)),
    )
    stream = io.BytesIO()
    image.crop(box).save(stream, "JPEG", quality=variation.quality)
    return stream.getvalue(), points - box[:2]


def _format_row(name: str, landmarks: NDArray[np.float64]) -> str:
    return " ".join([name, *(str(round(value)) for value in landmarks.ravel())])
