"""A dataset in the formats of other programs. A new format is one line in the registry below and one file."""

from __future__ import annotations

from celebahq_tools.registry import Registry
from celebahq_tools.store.export.base import Exporter

EXPORTERS: Registry[Exporter] = Registry(
    "export format",
    {
        "png": "celebahq_tools.store.export.png:EXPORTER",
        "stylegan-zip": "celebahq_tools.store.export.stylegan_zip:EXPORTER",
        "npz": "celebahq_tools.store.export.npz:EXPORTER",
        "tfrecords": "celebahq_tools.store.export.tfrecord:EXPORTER",
        "webdataset": "celebahq_tools.store.export.webdataset:EXPORTER",
    },
)
