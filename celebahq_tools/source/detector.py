"""Find faces and their five landmarks: a cascade of three small nets (MTCNN), run by cv2.

Zhang, Zhang, Li and Qiao, Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks, IEEE
Signal Processing Letters 2016. A proposal net slides over an image pyramid; a refinement net and an output net look at
its proposals again, at 24x24 and 48x48 pixels; the last one also gives the landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.types import Pixels, check_pixels
from celebahq_tools.weights import find_weights

WEIGHTS = ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")

# Faces are looked for in a picture of at most this many pixels a side, so that time and memory are bounded. Boxes of
# 2 % of the longer side are found, which in a photograph of 8984 pixels is one of 180.
WORK_SIDE = 1024
MIN_FACE = 20.0
# Smaller pictures are enlarged to this, so that a face of 5 pixels in a photograph of 64 is found as well.
MIN_WORK_SIDE = 256
# From the publication: field and stride of the proposal net, ratio of neighbouring pyramid levels (half the area),
# least probability of a face at each net, overlap above which the weaker of two boxes is dropped.
_FIELD, _STRIDE = 12, 2
_PYRAMID_STEP = 2**-0.5
_PROPOSAL, _REFINED, _FINAL = 0.6, 0.7, 0.7
_OVERLAP_IN_LEVEL, _OVERLAP = 0.5, 0.7
# A crowd, or a texture that looks like one, gives no more proposals than this; the most probable are looked at.
_MAX_PROPOSALS, _MAX_COMPARED = 2000, 20_000
_BATCH = 256
# The output net's boxes are moved, scaled and mirrored, and the landmarks averaged: its own scatter falls by a third.
_SHIFTS = ((0.0, 0.0), (0.06, 0.0), (-0.06, 0.0), (0.0, 0.06), (0.0, -0.06))
_JITTER = tuple((dx, dy, scale) for dx, dy in _SHIFTS for scale in (1.0, 1.12))
_MIRRORED_POINTS = [1, 0, 2, 4, 3]
# All of the output net's points lie to the right by this part of the box, on average over 43 faces, as the
# comparison with their mirror images shows. Its layers treat both axes alike, so they lie as much too low.
_POINT_BIAS = 1.05 / 48

Boxes = NDArray[np.float32]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """A face found in a photograph.

    Attributes:
        box: (4,) float32, left, top, right, bottom in array indices, as the nets see a face: chin to forehead.
        landmarks: (5, 2) float32 x, y in the order of :data:`celebahq_tools.types.LANDMARK_NAMES`.
        probability: The output net's, 0.7 to 1.
    """

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    probability: float

    @property
    def size(self) -> float:
        """Mean side of the box in pixels."""
        return float((self.box[2] - self.box[0] + self.box[3] - self.box[1]) / 2)


class FaceDetector:
    """Three nets, loaded once.

    Raises:
        WeightsError: If the data package with the nets is missing; the message says how to install it.
    """

    def __init__(self) -> None:
        self._nets = [cv2.dnn.readNetFromONNX(str(find_weights(name))) for name in WEIGHTS]
        self._outputs = [net.getUnconnectedOutLayersNames() for net in self._nets]

    def detect(self, pixels: Pixels, *, work_side: int = WORK_SIDE) -> list[DetectedFace]:
        """Return the faces of a photograph, the largest first; of equal size the leftmost first.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            work_side: Reduce a larger photograph to this many pixels on its longer side; boxes under 20 pixels in
                that are not found.
        Raises:
            ShapeError: If the pixels are something else.
        """
        check_pixels(pixels, "photograph")
        reduced = _resize(pixels, work_side)
        boxes = self._propose(reduced)
        boxes = self._refine(reduced, boxes) if len(boxes) else boxes
        found = self._finish(reduced, boxes) if len(boxes) else []
        # Sizes are rounded, so that both axes have a ratio of their own.
        ratio = np.array([size / small for size, small in zip(pixels.shape[1::-1], reduced.shape[1::-1], strict=True)])
        faces = [
            DetectedFace(
                _rescale(face.box.reshape(2, 2), ratio).ravel(), _rescale(face.landmarks, ratio), face.probability
            )
            for face in found
        ]
        return sorted(faces, key=lambda face: (-round(face.size, 3), float(face.box[0])))

    def rate(self, pixels: Pixels, box: NDArray[np.float32]) -> float:
        """Return the output net's probability that a box holds a face, the best of ten boxes near it, 0..1.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            box: (4,) left, top, right, bottom.
        """
        return float(self._run_boxes(2, pixels, _jitter(box), 48)[2][:, 1].max())

    def _propose(self, pixels: Pixels) -> Boxes:
        """Return (N, 5) boxes with probability that the proposal net sees anywhere, at any size."""
        height, width = pixels.shape[:2]
        found = []
        scale = _FIELD / MIN_FACE
        while min(height, width) * scale >= _FIELD:
            size = (max(round(width * scale), _FIELD), max(round(height * scale), _FIELD))
            level = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            offsets, probability = self._run(0, _normalise(np.asarray(level, np.uint8)[None]))
            # The nets were trained on transposed pictures: the first axis of a map is x.
            column, row = np.nonzero(probability[0, :, :, 1] >= _PROPOSAL)
            if len(row):
                corner = np.stack([column, row], axis=1).astype(np.float32) * _STRIDE
                cells = np.concatenate([corner, corner + _FIELD], axis=1)
                ratio = np.array([width / size[0], height / size[1]] * 2, np.float32)
                boxes = np.concatenate([cells * ratio, probability[0, column, row, 1:]], axis=1)
                kept = _suppress(boxes, _OVERLAP_IN_LEVEL)[:_MAX_PROPOSALS]
                found.append(np.concatenate([boxes[kept], offsets[0, column, row][kept]], axis=1))
            scale *= _PYRAMID_STEP
        if not found:
            return np.empty((0, 5), np.float32)
        every = np.concatenate(found)
        every = every[_suppress(every[:, :5], _OVERLAP)][:_MAX_PROPOSALS]
        return _move(every[:, :5], every[:, 5:])

    def _refine(self, pixels: Pixels, boxes: Boxes) -> Boxes:
        boxes = _make_square(boxes)
        offsets, probability = self._run_boxes(1, pixels, boxes, 24)
        good = probability[:, 1] >= _REFINED
        boxes = np.concatenate([boxes[good, :4], probability[good, 1:]], axis=1)
        kept = _suppress(boxes, _OVERLAP)
        return _move(boxes[kept], offsets[good][kept])

    def _finish(self, pixels: Pixels, boxes: Boxes) -> list[DetectedFace]:
        boxes = _make_square(boxes)
        offsets, _, probability = self._run_boxes(2, pixels, boxes, 48)
        good = probability[:, 1] >= _FINAL
        squares = boxes[good, :4]
        moved = _move(np.concatenate([squares, probability[good, 1:]], axis=1), offsets[good])
        kept = _suppress(moved, _OVERLAP, of_smaller=True)
        return [DetectedFace(box[:4], self._locate(pixels, box[:4]), float(box[4])) for box in moved[kept]]

    def _locate(self, pixels: Pixels, box: Boxes) -> NDArray[np.float32]:
        """Return the landmarks in a face's box: the mean over boxes moved, scaled and mirrored a little."""
        boxes = _jitter(box)
        points = []
        for mirrored in (False, True):
            _, relative, _ = self._run_boxes(2, pixels, boxes, 48, mirrored=mirrored)
            x, y = relative[:, :5] - _POINT_BIAS, relative[:, 5:] - _POINT_BIAS
            if mirrored:
                x, y = 1 - x[:, _MIRRORED_POINTS], y[:, _MIRRORED_POINTS]
            sides = boxes[:, 2:3] - boxes[:, 0:1]
            # Boxes reach from pixel edge to pixel edge; array indices count from pixel centres.
            points.append(np.stack([boxes[:, 0:1] + x * sides, boxes[:, 1:2] + y * sides], axis=2) - 0.5)
        return np.asarray(np.concatenate(points).mean(axis=0), np.float32)

    def _run_boxes(
        self, index: int, pixels: Pixels, boxes: Boxes, side: int, *, mirrored: bool = False
    ) -> list[Floats]:
        patches = np.stack([_cut(pixels, box, side) for box in boxes])
        if mirrored:
            patches = patches[:, :, ::-1]
        parts = [self._run(index, _normalise(patches[i : i + _BATCH])) for i in range(0, len(patches), _BATCH)]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _run(self, index: int, batch: Floats) -> list[Floats]:
        """Return the outputs of a net: box offsets, landmarks if it is the last, probabilities of (no face, face)."""
        self._nets[index].setInput(batch)
        return [np.asarray(output, np.float32) for output in self._nets[index].forward(self._outputs[index])]


@lru_cache(maxsize=1)
def load_detector() -> FaceDetector:
    """Return this process's detector, loading its nets once."""
    return FaceDetector()


def _resize(pixels: Pixels, side: int) -> Pixels:
    """Return a picture whose longer side has from `MIN_WORK_SIDE` to `side` pixels."""
    longer = max(pixels.shape[:2])
    scale = min(max(longer, MIN_WORK_SIDE), side) / longer
    if scale == 1:
        return pixels
    size = (max(round(pixels.shape[1] * scale), 1), max(round(pixels.shape[0] * scale), 1))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)


def _rescale(points: NDArray[np.float32], ratio: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return points of the resized photograph in the photograph; array indices count from pixel centres."""
    return ((points + 0.5) * ratio - 0.5).astype(np.float32)


def _jitter(box: NDArray[np.float32]) -> Boxes:
    """Return squares around a box (4,), moved and scaled a little; shape (10, 5)."""
    middle = (box[:2] + box[2:]) / 2
    side = float(max(box[2:] - box[:2]))
    moves = np.array(_JITTER)
    middles, halves = middle + side * moves[:, :2], side * moves[:, 2:] / 2
    return np.concatenate([middles - halves, middles + halves, np.ones_like(halves)], axis=1).astype(np.float32)


def _normalise(batch: NDArray[np.uint8]) -> Floats:
    """Return (N, H, W, 3) pixels as the nets want them: (N, W, H, 3) float32 in -1..1."""
    return np.ascontiguousarray((batch.transpose(0, 2, 1, 3).astype(np.float32) - 127.5) / 128)


def _cut(pixels: Pixels, box: Boxes, side: int) -> Pixels:
    """Return a square box of a picture at side x side pixels; black where it leaves the picture."""
    left, top, right, bottom = (int(v) for v in np.rint(box[:4]))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    height, width = pixels.shape[:2]
    part = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    margins = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if part.size == 0:
        return np.zeros((side, side, 3), np.uint8)
    if any(margins):
        part = np.asarray(cv2.copyMakeBorder(part, *margins, cv2.BORDER_CONSTANT), np.uint8)
    shrinks = right - left > side
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (side, side), interpolation=interpolation), np.uint8)


def _make_square(boxes: Boxes) -> Boxes:
    """Return boxes (N, 5) grown to squares around the same middle."""
    half = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])[:, None] / 2
    middle = (boxes[:, :2] + boxes[:, 2:4]) / 2
    return np.concatenate([middle - half, middle + half, boxes[:, 4:]], axis=1).astype(np.float32)


def _move(boxes: Boxes, offsets: Floats) -> Boxes:
    """Return boxes (N, 5) with their edges moved by offsets (N, 4) in units of their sides."""
    sides = boxes[:, 2:4] - boxes[:, :2]
    edges = boxes[:, :4] + offsets * np.concatenate([sides, sides], axis=1)
    return np.concatenate([edges, boxes[:, 4:5]], axis=1).astype(np.float32)


def _suppress(boxes: Boxes, overlap: float, *, of_smaller: bool = False) -> NDArray[np.intp]:
    """Return the indices that remain, most probable first, when boxes that overlap a more probable one are dropped.

    Args:
        boxes: (N, 5) left, top, right, bottom, probability.
        overlap: Intersection over union above which the less probable is dropped.
        of_smaller: Divide by the area of the smaller box instead of the union.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.argsort(-boxes[:, 4], kind="stable")[:_MAX_COMPARED]
    kept = []
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:4], boxes[rest, 2:4])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        whole = np.minimum(areas[best], areas[rest]) if of_smaller else areas[best] + areas[rest] - shared
        left = rest[shared <= overlap * whole]
    return np.array(kept, np.intp)
