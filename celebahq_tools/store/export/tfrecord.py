"""TFRecords of the TensorFlow program of the paper: one file per level, ``<name>-r02.tfrecords`` for 4x4 and up."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from celebahq_tools.errors import ShapeError
from celebahq_tools.store.export.base import ExportJob
from celebahq_tools.store.tfrecord_format import RecordWriter, encode_image_example, load_crc

_SMALLEST = 4


class TfRecords:
    """Writes a file per level, uncompressed, and labels as ``<name>-rxx.labels`` (float32 .npy)."""

    is_folder = True
    suffix = ""
    own_names = r".+-r\d\d\.tfrecords|.+-rxx\.labels"

    def check(self, job: ExportJob) -> None:
        """Raise ShapeError unless the dataset has square levels of powers of two down to 4x4, in grey or RGB.

        Raises:
            ConfigError: If the package that computes checksums is not installed.
        """
        load_crc()
        channels, height, width = job.shape
        if height != width or height & (height - 1) or height < _SMALLEST or channels not in (1, 3):
            raise ShapeError(
                f"{job.reader.path}: the TensorFlow program reads squares with a power of two from 4 as their side, "
                f"grey or RGB, not {width}x{height} with {channels} channels; pass --to png"
            )
        missing = set(self._list_sides(job)) - {shape[1] for shape in job.reader.shapes}
        if missing:
            raise ShapeError(f"{job.reader.path}: has no level of size {sorted(missing)}; import it to get all levels")

    def write(self, job: ExportJob, target: Path) -> None:
        """Write every level of every image, and the labels.

        Raises:
            OSError: If the disk is full.
            StoreError: If the dataset is damaged.
        """
        with ExitStack() as stack:
            writers = {}
            for side in self._list_sides(job):
                path = target / f"{job.name}-r{side.bit_length() - 1:02d}.tfrecords"
                writers[side] = RecordWriter(stack.enter_context(path.open("wb")))
            for index in range(len(job)):
                for side, writer in writers.items():
                    writer.write(encode_image_example(job.reader.read(index, height=side)))
                job.advance()
        if job.labels is not None:
            with (target / f"{job.name}-rxx.labels").open("wb") as stream:
                np.save(stream, job.labels, allow_pickle=False)

    def _list_sides(self, job: ExportJob) -> list[int]:
        return [_SMALLEST << step for step in range(job.height.bit_length() - _SMALLEST.bit_length() + 1)]


EXPORTER = TfRecords()
