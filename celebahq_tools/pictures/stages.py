"""One face, step by step, as in the paper's Figure 8: input, de-JPEG, 4x, padded, blurred, crop, final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from celebahq_tools.pictures.canvas import ACCENT, BACKGROUND, fit_picture, write_caption
from celebahq_tools.rank.spectrum import QualityScore
from celebahq_tools.types import Pixels

_PANEL = 320
_MARGIN = 12
_CAPTION = 26
# Share of the face picture's side that a detail shows, around the eye on the left.
_DETAIL = 0.16


@dataclass(frozen=True, eq=False)
class StageView:
    """One step's picture.

    Attributes:
        name: What it shows.
        pixels: (H, W, 3) uint8.
        quad: (4, 2) corners NW, SW, SE, NE of the face picture in these pixels.
    """

    name: str
    pixels: Pixels
    quad: NDArray[np.float64]


def draw_stages(views: Sequence[StageView], landmarks: NDArray[np.float32], score: QualityScore) -> Image.Image:
    """Return the steps side by side, above a detail of each at the same place, above the score and its parts.

    Args:
        views: Steps in order; the first is the photograph itself, in whose pixels the landmarks are given.
        landmarks: (5, 2) x, y.
        score: Quality score of the final picture.
    """
    width = len(views) * (_PANEL + _MARGIN) + _MARGIN
    height = 2 * (_PANEL + _CAPTION + _MARGIN) + _MARGIN + 2 * _CAPTION
    canvas = Image.new("RGB", (width, height), BACKGROUND)
    eye = place_in_quad(views[0].quad, landmarks[0])
    for column, view in enumerate(views):
        left = _MARGIN + column * (_PANEL + _MARGIN)
        top = _MARGIN
        write_caption(canvas, (left, top), f"{view.name}  {view.pixels.shape[1]}x{view.pixels.shape[0]}")
        overview = draw_overview(view, side=_PANEL, landmarks=landmarks if column == 0 else None)
        canvas.paste(overview, (left, top + _CAPTION))
        top += _CAPTION + _PANEL + _MARGIN
        write_caption(canvas, (left, top), "detail")
        canvas.paste(cut_detail(view, eye, side=_PANEL), (left, top + _CAPTION))
    parts = "   ".join(f"{name} {value:.3f}" for name, value in score.components.items())
    write_caption(canvas, (_MARGIN, height - 2 * _CAPTION), f"score {score.value:.4f}   {parts}", size=20)
    return canvas


def draw_overview(view: StageView, *, side: int, landmarks: NDArray[np.float32] | None = None) -> Image.Image:
    """Return a step's picture, fitted into a square, with the outline of the face picture.

    Args:
        view: The step.
        side: Of the square in pixels.
        landmarks: Drawn as rings where given; (5, 2) in the view's pixels.
    """
    overview = fit_picture(view.pixels, side, side)
    scale = overview.width / view.pixels.shape[1]
    _outline(overview, view.quad * scale)
    if landmarks is not None:
        _dots(overview, landmarks * scale)
    return overview


def place_in_quad(quad: NDArray[np.float64], point: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return where a point lies inside a quad: (0, 0) is NW, (1, 1) is SE."""
    axes = np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1)
    return np.asarray(np.linalg.solve(axes, point - quad[0]), dtype=np.float64)


def cut_detail(view: StageView, place: NDArray[np.float64], *, side: int) -> Image.Image:
    """Return a small part of a step's picture, enlarged to a square of ``side`` pixels.

    Args:
        view: The step.
        place: Its centre, as of :func:`place_in_quad`: the same place in every step.
        side: Of the square in pixels.
    """
    east, south = view.quad[3] - view.quad[0], view.quad[1] - view.quad[0]
    centre = view.quad[0] + place[0] * east + place[1] * south
    half = 0.5 * _DETAIL * float(np.hypot(*east))
    box = tuple(float(edge) for edge in (*(centre - half), *(centre + half)))
    image = Image.fromarray(view.pixels)
    # Enlarged pixels stay visible as squares: the point is to see what each step did to them.
    return image.transform((side, side), Image.Transform.EXTENT, box, Image.Resampling.NEAREST)


def _outline(image: Image.Image, quad: NDArray[np.float64]) -> None:
    corners = [(float(x), float(y)) for x, y in quad]
    ImageDraw.Draw(image).line([*corners, corners[0]], fill=ACCENT, width=2)


def _dots(image: Image.Image, points: NDArray[np.float32]) -> None:
    draw = ImageDraw.Draw(image)
    for x, y in points:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), outline=ACCENT, width=2)
