"""WebDataset shards: tar files of ``00000000.png`` with ``00000000.cls`` (a class) or ``00000000.npy`` (attributes)."""

from __future__ import annotations

import io
import tarfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from celebahq_tools.store.export.base import ExportJob
from celebahq_tools.store.labels import list_label_values


class WebDataset:
    """Writes ``<name>-000000.tar`` ..., each with as many images as the job's ``shard_size``."""

    is_folder = True
    suffix = ""
    own_names = r".+-\d{6,}\.tar"

    def check(self, job: ExportJob) -> None:
        """Any dataset can be written."""

    def write(self, job: ExportJob, target: Path) -> None:
        """Write all shards; the same dataset gives the same bytes.

        Raises:
            OSError: If the disk is full.
            StoreError: If the dataset is damaged.
        """
        values = None if job.labels is None else list_label_values(job.labels)
        with ExitStack() as stack:
            for index, image in enumerate(job.encode_images()):
                if index % job.shard_size == 0:
                    stack.close()
                    path = target / f"{job.name}-{index // job.shard_size:06d}.tar"
                    shard = stack.enter_context(tarfile.open(path, "w", format=tarfile.USTAR_FORMAT))
                _add_file(shard, f"{index:08d}.png", image)
                if values is not None:
                    value = values[index]
                    if isinstance(value, int):
                        _add_file(shard, f"{index:08d}.cls", str(value).encode())
                    else:
                        stream = io.BytesIO()
                        np.save(stream, np.array(value, np.float32), allow_pickle=False)
                        _add_file(shard, f"{index:08d}.npy", stream.getvalue())


def _add_file(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # dated 1970, of nobody: the same for everybody
    entry.size = len(data)
    shard.addfile(entry, io.BytesIO(data))


EXPORTER = WebDataset()
