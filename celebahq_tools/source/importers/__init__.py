"""Sets of images that need no restoration, from files of many kinds. A new kind is one line below and one file."""

from __future__ import annotations

from celebahq_tools.registry import Registry
from celebahq_tools.source.importers.base import Opener

_HERE = "celebahq_tools.source.importers"
IMPORTERS: Registry[Opener] = Registry(
    "kind of source",
    {
        "folder": f"{_HERE}.files:open_folder",
        "zip": f"{_HERE}.zip_archive:open_zip",
        "npz": f"{_HERE}.numpy_archive:open_npz",
        "tfrecords": f"{_HERE}.tfrecord:open_tfrecords",
        "webdataset": f"{_HERE}.webdataset:open_webdataset",
        "hdf5": f"{_HERE}.dataset:open_dataset",
        "celeba-aligned": f"{_HERE}.celeba_aligned:open_celeba_aligned",
        "lsun-lmdb": f"{_HERE}.lsun:open_lsun",
        "cifar10": f"{_HERE}.cifar10:open_cifar10",
        "mnist": f"{_HERE}.mnist:open_mnist",
        "mnist-rgb": f"{_HERE}.mnist:open_mnist_rgb",
    },
)
