"""The .zip that StyleGAN2-ADA, StyleGAN3 and EDM train from.

Their readers take every image in it, sorted by name, and read ``dataset.json``: ``{"labels": [[name, label], ...]}``
with class numbers or vectors, or ``{"labels": null}``. Entries are stored, not deflated: a PNG gains nothing by it.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from celebahq_tools.errors import ShapeError
from celebahq_tools.store.export.base import ExportJob, name_image
from celebahq_tools.store.labels import format_dataset_json


class StyleganZip:
    """Writes ``00000/img00000000.png`` ... and ``dataset.json`` into one .zip."""

    is_folder = False
    suffix = ".zip"
    own_names = ""

    def check(self, job: ExportJob) -> None:
        """Raise ShapeError unless images are squares with a power of two as their side, as those programs demand."""
        _, height, width = job.shape
        if height != width or height & (height - 1):
            raise ShapeError(
                f"{job.reader.path}: StyleGAN's programs read squares with a power of two as their side, not "
                f"{width}x{height}; pass --to png"
            )

    def write(self, job: ExportJob, target: Path) -> None:
        """Write the archive; the same dataset gives the same bytes.

        Raises:
            OSError: If the disk is full.
            StoreError: If the dataset is damaged.
        """
        names = []
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for index, data in enumerate(job.encode_images()):
                names.append(name_image(index))
                archive.writestr(make_entry(names[-1]), data)
            archive.writestr(make_entry("dataset.json"), format_dataset_json(names, job.labels))


def make_entry(name: str) -> zipfile.ZipInfo:
    """Return a stored entry dated 1980: the time of writing would make every archive another."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    return entry


EXPORTER = StyleganZip()
