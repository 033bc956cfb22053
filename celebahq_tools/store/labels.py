"""Labels of a dataset: the array beside the HDF5 file, and the forms that other formats give them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import InputError

Labels = NDArray[np.float32]
"""(N, classes) float32: one-hot rows for classes, any finite numbers for attributes."""


def labels_path(dataset: Path) -> Path:
    """Return the path of a dataset's labels: ``faces.h5`` has ``faces-labels.npy``."""
    return dataset.with_name(f"{dataset.stem}-labels.npy")


def save_labels(path: Path, labels: Labels) -> None:
    """Write labels as the original does: float32, one row per image; the file is whole or absent.

    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    with write_atomically(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, labels.astype(np.float32), allow_pickle=False)


def discard_labels(dataset: Path) -> None:
    """Delete the labels of an older dataset of this name: its images are others.

    Raises:
        OSError: If the folder cannot be written.
    """
    labels_path(dataset).unlink(missing_ok=True)


def read_label_array(stream: BinaryIO, size: int) -> NDArray[Any]:
    """Return the array of numbers of an .npy stream; its size is compared with the header before memory is taken.

    Args:
        stream: At the start of the .npy.
        size: Bytes in it.
    Raises:
        ValueError: If it is no array of numbers, or of another size than its header says.
    """
    start = stream.tell()
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize != size - (stream.tell() - start):
        raise ValueError(f"{size} bytes for an array {shape} of {dtype}")
    stream.seek(start)
    return np.lib.format.read_array(stream, allow_pickle=False)


def encode_one_hot(classes: Sequence[int] | NDArray[np.integer[Any]], count: int) -> Labels:
    """Return (N, count) one-hot rows of class numbers in 0 .. count-1."""
    labels = np.zeros((len(classes), count), np.float32)
    labels[np.arange(len(classes)), np.asarray(classes, dtype=np.int64)] = 1
    return labels


def list_label_values(labels: Labels) -> list[int] | list[list[float]]:
    """Return labels as StyleGAN's ``dataset.json`` holds them: class numbers, or vectors.

    Class numbers stand for one-hot rows only if the last class occurs; otherwise a reader, who takes the largest number
    for the last class, would lose columns. Those and attributes become vectors.
    """
    one_hot = ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()
    if one_hot and labels.size and labels[:, -1].any():
        return [int(number) for number in labels.argmax(axis=1)]
    return [[float(value) for value in row] for row in labels]


def format_dataset_json(names: Sequence[str], labels: Labels | None) -> str:
    """Return StyleGAN's ``dataset.json`` of images in this order; ``{"labels": null}`` without labels."""
    pairs = None if labels is None else [[n, v] for n, v in zip(names, list_label_values(labels), strict=True)]
    return json.dumps({"labels": pairs})


def parse_dataset_json(
    data: bytes, names: Sequence[str], where: str, *, otherwise: str = "pass --no-labels"
) -> Labels | None:
    """Return the labels of images from StyleGAN's ``dataset.json``, or None if it holds none.

    Args:
        data: The file's contents.
        names: Images that need a label, with forward slashes.
        where: Begins messages.
        otherwise: What to do but complete the file, in the message about images without labels.
    Raises:
        InputError: If it is not such a file, an image has no label, or labels are of several kinds.
    """
    try:
        pairs = json.loads(data).get("labels")
        if not pairs:
            return None
        table = {str(name): value for name, value in pairs}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: not StyleGAN's dataset.json ({error}); repair or remove it") from None
    unlabelled = [name for name in names if name not in table]
    if unlabelled:
        raise InputError(
            f"{where}: has labels but none for {len(unlabelled)} images, {unlabelled[0]} among them; "
            f"complete it or {otherwise}"
        )
    return parse_label_values([table[name] for name in names], where)


def parse_label_values(values: Sequence[Any], where: str) -> Labels:
    """Return labels from class numbers (one-hot rows result) or from vectors of equal length.

    Raises:
        InputError: If they are neither; the message begins with ``where``.
    """
    if all(type(value) is int for value in values):
        if not all(0 <= value < 2**16 for value in values):
            raise InputError(f"{where}: class numbers must lie in 0..65535")
        return encode_one_hot(values, max(values, default=-1) + 1)
    try:
        labels = np.array(values, dtype=np.float32)
    except (ValueError, TypeError):
        labels = np.empty(0, np.float32)
    if labels.ndim != 2 or not np.isfinite(labels).all():
        raise InputError(f"{where}: labels are neither class numbers nor finite vectors of one length")
    return labels
