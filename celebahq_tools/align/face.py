"""From a photograph and five landmarks to an upright face: shrink, cut, restore, pad, warp."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from celebahq_tools.align.pad import Padding, pad_with_blur
from celebahq_tools.align.quad import STAGE, Alignment, OrientedCrop, compute_quad, measure_photo_fraction
from celebahq_tools.align.warp import SUPERSAMPLING, Resample, warp_crop
from celebahq_tools.errors import RejectionError, ShapeError
from celebahq_tools.types import Pixels, check_pixels

OUT_SIZES = (64, 128, 256, 512, 1024)
# Lengths in units of the crop's side, from the original program.
BORDER = 0.1
PADDING = 0.3
BLUR_SIGMA = 0.02
MIN_BORDER = 3
# Photographs of a crop more than twice the output are reduced first.
SHRINK_ZOOM = 0.5
# Lanczos-3 reaches three output pixels; one more for rounding.
SHRINK_REACH = 4
# A face of which less than this is photograph would be mostly mirror and blur, whatever the landmarks say.
MIN_PHOTO_FRACTION = 0.1


class RegionRestorer(Protocol):
    """What alignment needs of a restorer."""

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along each axis."""
        ...

    @property
    def halo(self) -> int:
        """Input pixels around a region that influence its result."""
        ...

    def restore(self, pixels: Pixels) -> Pixels:
        """Return uint8 (H * scale, W * scale, 3) for RGB uint8 (H, W, 3)."""
        ...


# Called with the name of a stage, its pixels, and the crop's corners (4, 2) in these pixels.
Observer = Callable[[str, Pixels, npt.NDArray[np.float64]], None]

# Called with the zoom that is missing (above 1); a net of one scale ignores it.
ChooseSuperres = Callable[[float], RegionRestorer]


@dataclass(frozen=True)
class AlignedFace:
    """An upright face and where it came from.

    Attributes:
        pixels: RGB, uint8, shape (out_size, out_size, 3).
        crop: In coordinates of the photograph.
        photo_fraction: Part of the crop's area inside the photograph, 0 to 1; the rest is mirrored and blurred.
        zoom: Output pixels per pixel of the photograph; above 1, detail had to be invented.
        shrink: Factor the photograph was reduced by first.
        superres: Factor the cut region was enlarged by.
        padding: Pixels mirrored at each side of the enlarged region; None if the face needed none.
        photo_size: Width and height of the photograph.
    """

    pixels: Pixels
    crop: OrientedCrop
    photo_fraction: float
    zoom: float
    shrink: int
    superres: int
    padding: Padding | None
    photo_size: tuple[int, int]

    def mask_photo(self) -> npt.NDArray[np.bool_] | None:
        """Return which pixels show the photograph and not its mirror image; None if all do."""
        if self.photo_fraction >= 1.0:
            return None
        index = np.arange(len(self.pixels)) + 0.5
        along, down = self.crop.steps(len(self.pixels))
        inside = np.ones((len(index), len(index)), np.bool_)
        for axis, size in enumerate(self.photo_size):
            place = (self.crop.corners[0][axis] + along[axis] * index) + (down[axis] * index)[:, None]
            inside &= (place >= -0.5) & (place <= size - 0.5)
        return inside


def align_face(
    pixels: Pixels,
    landmarks: npt.ArrayLike,
    *,
    out_size: int = 1024,
    resample: Resample = "box",
    alignment: Alignment = "celebahq",
    min_photo: float = MIN_PHOTO_FRACTION,
    dejpeg: RegionRestorer | None = None,
    superres: ChooseSuperres | None = None,
    observe: Observer | None = None,
) -> AlignedFace:
    """Return the upright face of a photograph (Karras et al. 2018, appendix C).

    Only the region that reaches the result is restored. Memory is bounded by the output size, not by the landmarks:
    the padded image has at most about 8 * out_size pixels a side.

    Args:
        pixels: Photograph, RGB, uint8, shape (H, W, 3).
        landmarks: Shape (5, 2), (x, y): left eye, right eye, nose, left and right corner of the mouth.
        out_size: Pixels per side of the result, a power of two from 64 to 1024.
        resample: Final filter; see :func:`celebahq_tools.align.warp.warp_crop`.
        alignment: Whose program's arithmetic: ``celebahq``, or ``ffhq``, whose crop lies half a pixel nearer to the
            origin and whose samples lie half a sample further in. Border, padding and blur are the same.
        min_photo: Least part of the crop that must lie in the photograph.
        dejpeg: Applied to the region first; its scale must be 1.
        superres: Gives the enlarging net for a zoom above 1; not called where the photograph is large enough.
        observe: Called with name, pixels and the crop's corners in them for each stage: ``crop``, ``dejpeg``,
            ``superres``, ``padded`` (mirrored), ``blurred``, ``final``; stages that a photograph does not need are
            left out.
    Returns:
        The face with its place in the photograph.
    Raises:
        ShapeError: If pixels, landmarks, output size or a restorer's result have the wrong shape.
        RejectionError: ``align.*`` if the landmarks are unusable (see :func:`compute_quad`) or less than
            ``min_photo`` of the crop lies in the photograph (``align.outside_photo``).
    """
    check_pixels(pixels, "photograph")
    if out_size not in OUT_SIZES:
        raise ShapeError(f"output size {out_size}: must be one of {', '.join(map(str, OUT_SIZES))}")
    crop = compute_quad(landmarks, alignment)
    photo_fraction = measure_photo_fraction(crop, pixels.shape[1], pixels.shape[0])
    if photo_fraction < min_photo:
        detail = f"{photo_fraction:.1%} of the crop lies in the photograph, need {min_photo:.0%}"
        raise RejectionError(STAGE, "outside_photo", detail)

    photo = _Photo(pixels, crop)
    shrink = math.floor(SHRINK_ZOOM / crop.zoom(out_size))
    zoom = crop.zoom(out_size) * max(shrink, 1)
    border = max(round(BORDER * out_size / zoom), MIN_BORDER)
    if shrink > 1:
        photo = _shrink_photo(photo, shrink, border + (dejpeg.halo if dejpeg else 0))
    chosen = superres(zoom) if superres and zoom > 1 else None
    region = _restore_region(photo, border, dejpeg, chosen, observe)
    region, padding = _pad_region(region, border, out_size, observe)
    final = warp_crop(region.pixels, _place_samples(region.crop, out_size, alignment), out_size, resample)
    if observe is not None:
        edge = float(out_size)
        observe("final", final, np.array([(0, 0), (0, edge), (edge, edge), (edge, 0)]))
    return AlignedFace(
        pixels=final,
        crop=crop,
        photo_fraction=photo_fraction,
        zoom=crop.zoom(out_size),
        shrink=max(shrink, 1),
        superres=chosen.scale if chosen else 1,
        padding=padding,
        photo_size=(pixels.shape[1], pixels.shape[0]),
    )


def _place_samples(crop: OrientedCrop, out_size: int, alignment: Alignment) -> OrientedCrop:
    """Return the crop at whose steps the samples lie: FFHQ was made with a Pillow that samples pixel centres."""
    if alignment == "celebahq":
        return crop
    along, down = crop.steps(SUPERSAMPLING * out_size)
    return crop.shifted(*((along + down) / 2))


@dataclass(frozen=True)
class _Photo:
    """Pixels and the crop in their coordinates, on the way from photograph to face."""

    pixels: Pixels
    crop: OrientedCrop


def choose_superres_factor(zoom: float) -> int:
    """Return the power of two by which the original enlarges a region: the smallest not below the zoom.

    Args:
        zoom: Output pixels per pixel of the region.
    """
    return int(2 ** math.ceil(math.log2(zoom))) if zoom > 1 else 1


_Box = tuple[int, int, int, int]


def _grow_box(box: _Box, margin: int, width: int, height: int) -> _Box:
    """Return a box (left, top, right, bottom) grown on all sides and clamped to the image."""
    left, top, right, bottom = box
    return max(left - margin, 0), max(top - margin, 0), min(right + margin, width), min(bottom + margin, height)


def _trim(pixels: Pixels, outer: _Box, inner: _Box, scale: int) -> Pixels:
    """Return the inner box of an image that shows the outer box at a scale."""
    left, top, right, bottom = (scale * (i - outer[k % 2]) for k, i in enumerate(inner))
    return pixels[top:bottom, left:right]


def _shrink_photo(photo: _Photo, shrink: int, margin: int) -> _Photo:
    """Reduce the crop's surroundings of a photograph as if all of it were reduced by Pillow's Lanczos-3."""
    height, width = photo.pixels.shape[:2]
    crop = photo.crop.scaled(1 / shrink)
    new_width, new_height = max(round(width / shrink), 1), max(round(height / shrink), 1)
    target = _grow_box(crop.bounds(), margin, new_width, new_height)
    # Sizes are rounded, so the ratios are near the factor, not equal to it.
    ratios = (width / new_width, height / new_height)
    box = [edge * ratios[k % 2] for k, edge in enumerate(target)]
    reach = math.ceil(SHRINK_REACH * max(ratios))
    source = _grow_box((int(box[0]), int(box[1]), math.ceil(box[2]), math.ceil(box[3])), reach, width, height)
    reduced = Image.fromarray(_trim(photo.pixels, (0, 0, 0, 0), source, 1)).resize(
        (target[2] - target[0], target[3] - target[1]),
        Image.Resampling.LANCZOS,
        box=(box[0] - source[0], box[1] - source[1], box[2] - source[0], box[3] - source[1]),
    )
    return _Photo(np.asarray(reduced), crop.shifted(-target[0], -target[1]))


def _restore_region(
    photo: _Photo,
    border: int,
    dejpeg: RegionRestorer | None,
    superres: RegionRestorer | None,
    observe: Observer | None,
) -> _Photo:
    """Cut the crop's bounding box with a border out of a photograph and restore it, with context around it."""
    height, width = photo.pixels.shape[:2]
    box = _grow_box(photo.crop.bounds(), border, width, height)
    context = _grow_box(box, superres.halo if superres else 0, width, height)
    outer = _grow_box(context, dejpeg.halo if dejpeg else 0, width, height)
    pixels = _trim(photo.pixels, (0, 0, 0, 0), outer, 1)
    crop = photo.crop.shifted(-box[0], -box[1])
    if observe is not None:
        observe("crop", _trim(pixels, outer, box, 1), crop.corners)
    if dejpeg is not None:
        pixels = _trim(_restore(dejpeg, pixels, 1), outer, context, 1)
        if observe is not None:
            observe("dejpeg", _trim(pixels, context, box, 1), crop.corners)
    if superres is None:
        return _Photo(_trim(pixels, context, box, 1), crop)
    pixels = _trim(_restore(superres, pixels, superres.scale), context, box, superres.scale)
    crop = crop.scaled(superres.scale)
    if observe is not None:
        observe("superres", pixels, crop.corners)
    return _Photo(pixels, crop)


def _restore(restorer: RegionRestorer, pixels: Pixels, scale: int) -> Pixels:
    restored = restorer.restore(np.ascontiguousarray(pixels))
    expected = (pixels.shape[0] * scale, pixels.shape[1] * scale, 3)
    if restored.shape != expected or restored.dtype != np.uint8:
        raise ShapeError(f"restorer: returned {restored.dtype} {restored.shape}, expected uint8 {expected}")
    return restored


def _pad_region(region: _Photo, border: int, out_size: int, observe: Observer | None) -> tuple[_Photo, Padding | None]:
    """Pad a region on all sides if the crop leaves it, or nearly does, on any."""
    height, width = region.pixels.shape[:2]
    left, top, right, bottom = region.crop.bounds()
    overshoot = [
        max(side, 0) for side in (border - left, border - top, right - width + border, bottom - height + border)
    ]
    # The border is in pixels before super-resolution: this is how the original does it, and its outputs show it.
    if max(overshoot) <= border - 4:
        return region, None
    zoom = region.crop.zoom(out_size)
    least = round(PADDING * out_size / zoom)
    padding = Padding(*(max(side, least) for side in overshoot))
    crop = region.crop.shifted(padding.left, padding.top)
    mirrored = partial(_observe_copy, observe, crop) if observe else None
    blurred = pad_with_blur(region.pixels, padding, BLUR_SIGMA * out_size / zoom, mirrored)
    if observe is not None:
        observe("blurred", blurred, crop.corners)
    return _Photo(blurred, crop), padding


def _observe_copy(observe: Observer, crop: OrientedCrop, pixels: Pixels) -> None:
    # The blur works in place: the picture would change under the observer's hands.
    observe("padded", pixels.copy(), crop.corners)
