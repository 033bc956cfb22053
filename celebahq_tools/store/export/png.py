"""A folder of PNG files in StyleGAN's layout: numbered files, a thousand to a folder, labels in ``dataset.json``."""

from __future__ import annotations

from pathlib import Path

from celebahq_tools.store.export.base import ExportJob, name_image
from celebahq_tools.store.labels import format_dataset_json


class PngFolder:
    """Writes ``00000/img00000000.png`` ... and ``dataset.json``."""

    is_folder = True
    suffix = ""
    own_names = r"dataset\.json|\d{5,}(/img\d{8,}\.png)?"

    def check(self, job: ExportJob) -> None:
        """Any dataset can be written."""

    def write(self, job: ExportJob, target: Path) -> None:
        """Write all images and their labels.

        Raises:
            OSError: If the disk is full.
            StoreError: If the dataset is damaged.
        """
        names = []
        for index, data in enumerate(job.encode_images()):
            names.append(name_image(index))
            path = target / names[-1]
            if index % 1000 == 0:
                path.parent.mkdir()
            path.write_bytes(data)
        (target / "dataset.json").write_text(format_dataset_json(names, job.labels), encoding="utf-8")


EXPORTER = PngFolder()
