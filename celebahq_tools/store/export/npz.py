"""One numpy archive: ``arr_0`` (N, H, W, C) uint8, for evaluation scripts of diffusion models, and ``labels``."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from celebahq_tools.store.export.base import ExportJob
from celebahq_tools.store.export.stylegan_zip import make_entry


class NumpyArchive:
    """Writes the archive image by image, so that memory does not grow with the dataset."""

    is_folder = False
    suffix = ".npz"
    own_names = ""

    def check(self, job: ExportJob) -> None:
        """Any dataset can be written."""

    def write(self, job: ExportJob, target: Path) -> None:
        """Write the archive, uncompressed, so that it can be read at any place.

        Raises:
            OSError: If the disk is full.
            StoreError: If the dataset is damaged.
        """
        channels, height, width = job.shape
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(job), height, width, channels)}
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            with archive.open(make_entry("arr_0.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                for image in job.read_images():
                    stream.write(image.transpose(1, 2, 0).tobytes())
            if job.labels is not None:
                with archive.open(make_entry("labels.npy"), "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, job.labels, allow_pickle=False)


EXPORTER = NumpyArchive()
