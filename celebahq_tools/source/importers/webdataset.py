"""WebDataset shards: tar files whose members of one base name belong together. Nothing is unpacked to the disk."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from celebahq_tools.errors import InputError, RejectionError
from celebahq_tools.printable import make_printable
from celebahq_tools.source.importers.base import EncodedSource, ImportRequest
from celebahq_tools.source.photo import MAX_BYTES
from celebahq_tools.store.labels import Labels, parse_label_values, read_label_array

_IMAGES = frozenset({"png", "jpg", "jpeg", "webp", "bmp", "ppm"})
_MAX_LABEL_BYTES = 2**20


@dataclass
class _Sample:
    """Where the image of one sample lies, and its label; without an image the endings of its members."""

    key: str
    shard: int
    offset: int = 0
    size: int = -1
    label: int | list[float] | None = None
    endings: tuple[str, ...] = ()


class WebDatasetSource(EncodedSource):
    """The images of one shard or of all shards in a folder, in the order of the shards and of their members.

    Args:
        path: A .tar, or a folder of them.
        use_labels: Whether ``.cls`` and ``.npy`` members are taken for labels.
    """

    def __init__(self, path: Path, *, use_labels: bool) -> None:
        self._shards = sorted(path.glob("*.tar")) if path.is_dir() else [path]
        if not self._shards:
            raise InputError(f"{path}: holds no .tar shards")
        self._samples = [sample for number in range(len(self._shards)) for sample in self._index_shard(number)]
        if not any(sample.size >= 0 for sample in self._samples):
            raise InputError(f"{path}: holds no images ({', '.join(sorted(_IMAGES))})")
        if use_labels:
            self.labels = self._collect_labels(path)

    def _index_shard(self, number: int) -> list[_Sample]:
        samples: list[_Sample] = []
        try:
            with tarfile.open(self._shards[number], "r:") as shard:
                for member in shard:
                    if not member.isreg() or member.issparse():
                        continue
                    folder, _, name = member.name.rpartition("/")
                    base, _, suffix = name.partition(".")
                    key = f"{folder}/{base}" if folder else base
                    if not samples or samples[-1].key != key:
                        samples.append(_Sample(key, number))
                    suffix = suffix.lower()
                    if suffix in _IMAGES:
                        samples[-1].offset, samples[-1].size = member.offset_data, member.size
                    elif suffix in ("cls", "npy") and member.size <= _MAX_LABEL_BYTES:
                        stream = shard.extractfile(member)
                        samples[-1].label = _parse_label(suffix, stream.read() if stream else b"")
                    samples[-1].endings += (suffix,)
        except (OSError, tarfile.TarError, EOFError, ValueError) as error:
            raise InputError(f"{self._shards[number]}: not a readable .tar shard ({error})") from None
        return samples

    def _collect_labels(self, path: Path) -> Labels | None:
        with_image = np.array([sample.size >= 0 for sample in self._samples])
        values = [sample.label for sample in self._samples if sample.size >= 0]
        if all(value is None for value in values):
            return None
        if any(value is None for value in values):
            raise InputError(f"{path}: {values.count(None)} images have no label; pass --no-labels to do without")
        found = parse_label_values(values, str(path))
        labels = np.zeros((len(self._samples), found.shape[1]), np.float32)
        labels[with_image] = found
        return labels

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, index: int) -> str:
        """Return the shard's name and the sample's key."""
        sample = self._samples[index]
        name = f"{self._shards[sample.shard].name}/{sample.key}"
        return make_printable(name)

    def read(self, index: int) -> bytes:
        """Return the image's bytes; see :meth:`ImportSource.read`."""
        sample = self._samples[index]
        if ".." in PurePosixPath(sample.key).parts or sample.key.startswith("/"):
            raise RejectionError("tar", "unsafe_name", "leads out of the archive")
        if sample.size < 0:
            endings = ", ".join(f".{ending}" for ending in sample.endings[:3])
            raise RejectionError("tar", "no_image", f"its members end in {endings}; an image ends in .png, .jpg ...")
        if sample.size > MAX_BYTES:
            raise RejectionError("decode", "huge", f"{sample.size} bytes, the limit is {MAX_BYTES}")
        try:
            with self._shards[sample.shard].open("rb") as stream:
                stream.seek(sample.offset)
                data = stream.read(sample.size)
        except OSError as error:
            raise RejectionError("decode", "unreadable", error.strerror or str(error)) from None
        if len(data) < sample.size:
            raise RejectionError("decode", "truncated", f"{len(data)} of {sample.size} bytes")
        return data


def _parse_label(suffix: str, data: bytes) -> int | list[float]:
    if suffix == "cls":
        return int(data)
    values = read_label_array(io.BytesIO(data), len(data))
    if values.ndim != 1:
        raise ValueError(f"a label of shape {values.shape}")
    return [float(value) for value in values]


def open_webdataset(request: ImportRequest) -> WebDatasetSource:
    """Open WebDataset shards.

    Raises:
        InputError: If there are none, one is damaged, or only some images have labels.
    """
    return WebDatasetSource(request.path, use_labels=request.use_labels is not False)
