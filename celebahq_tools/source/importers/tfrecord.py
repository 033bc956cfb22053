"""TFRecords of the paper's TensorFlow program, and of StyleGAN's first: the largest level and the labels beside it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.source.importers.base import ArraySource, ImportRequest
from celebahq_tools.store.labels import Labels, read_label_array
from celebahq_tools.store.tfrecord_format import RecordFile, decode_image_example

_LEVEL = re.compile(r"(.+)-r(\d\d)\.tfrecords")


class TfRecordSource(ArraySource):
    """The images of one TFRecord file.

    Args:
        path: The file, or the folder of all levels.
        use_labels: Whether ``<name>-rxx.labels`` is read if it is there.
    """

    def __init__(self, path: Path, *, use_labels: bool) -> None:
        file = _find_largest_level(path) if path.is_dir() else path
        self._records = RecordFile(file)
        try:
            if not len(self._records):
                raise InputError(f"{file}: holds no records")
            match = _LEVEL.fullmatch(file.name)
            table = file.with_name(f"{match[1]}-rxx.labels") if match else None
            if use_labels and table is not None and table.is_file():
                self.labels = _read_labels(table, len(self._records))
        except BaseException:
            self._records.close()
            raise

    def __len__(self) -> int:
        return len(self._records)

    def name(self, index: int) -> str:
        """Return the number of the record."""
        return f"record {index}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return one image, (C, H, W); see :meth:`ImportSource.read`."""
        try:
            return decode_image_example(self._records.read(index))
        except InputError as error:
            raise RejectionError("tfrecord", "damaged", str(error)) from None
        except ValueError as error:
            raise RejectionError("tfrecord", "not_an_image", str(error)) from None

    def close(self) -> None:
        """Close the file."""
        self._records.close()


def _find_largest_level(folder: Path) -> Path:
    levels = {path: match for path in sorted(folder.iterdir()) if (match := _LEVEL.fullmatch(path.name))}
    names = sorted({match[1] for match in levels.values()})
    if not levels:
        raise InputError(f"{folder}: holds no *-rNN.tfrecords; give the file itself if it is named otherwise")
    if len(names) > 1:
        raise InputError(f"{folder}: holds several datasets ({', '.join(names)}); give the file of one")
    return max(levels, key=lambda path: int(levels[path][2]))


def _read_labels(path: Path, count: int) -> Labels:
    try:
        with path.open("rb") as stream:
            labels = read_label_array(stream, path.stat().st_size)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable array ({error}); pass --no-labels to do without") from None
    if labels.ndim != 2 or len(labels) != count:
        raise InputError(f"{path}: {labels.shape} labels for {count} images; pass --no-labels to do without")
    return labels.astype(np.float32)


def open_tfrecords(request: ImportRequest) -> TfRecordSource:
    """Open a TFRecord file or a folder of one dataset's levels.

    Raises:
        InputError: If it is missing, damaged in its framing, or the labels do not fit.
        ConfigError: If the package that computes checksums is not installed.
    """
    return TfRecordSource(request.path, use_labels=request.use_labels is not False)
