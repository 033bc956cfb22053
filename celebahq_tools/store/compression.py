"""How levels are compressed: gzip, which every HDF5 reads, or what trades size for speed or for plug-ins."""

from __future__ import annotations

from typing import Any

import h5py

from celebahq_tools.errors import ConfigError, StoreError, suggest
from celebahq_tools.store.layout import GZIP_LEVEL

COMPRESSIONS = ("gzip", "lzf", "blosc", "none")
_BLOSC = 32001
_BLOSC_LEVEL = 5
# Registered numbers of filters that hdf5plugin brings.
_PLUGIN_FILTERS = {_BLOSC: "blosc", 32004: "lz4", 32008: "bitshuffle", 32015: "zstd", 32026: "blosc2"}
_REMEDY = "pip install 'celebahq-tools[blosc]'"


class MissingPluginError(StoreError):
    """A file is sound, as far as is known, but cannot be read without a package that is not installed."""


def choose_filters(name: str) -> dict[str, Any]:
    """Return the arguments of h5py's ``create_dataset`` for a compression.

    gzip's streams end in a checksum of their own; the others get HDF5's Fletcher checksum, so that a flipped byte is
    always noticed.

    Args:
        name: One of :data:`COMPRESSIONS`. ``blosc`` is Blosc with zstd and bit shuffling.
    Raises:
        ConfigError: If the name is unknown, or hdf5plugin is not installed for ``blosc``.
    """
    if name == "gzip":
        return {"compression": "gzip", "compression_opts": GZIP_LEVEL}
    if name == "lzf":
        return {"compression": "lzf", "fletcher32": True}
    if name == "none":
        return {"fletcher32": True}
    if name != "blosc":
        raise ConfigError(f"unknown compression {name!r}{suggest(name, COMPRESSIONS)}")
    try:
        import hdf5plugin
    except ImportError:
        raise ConfigError(f"compression 'blosc' needs hdf5plugin: {_REMEDY}") from None
    blosc = hdf5plugin.Blosc(cname="zstd", clevel=_BLOSC_LEVEL, shuffle=hdf5plugin.Blosc.BITSHUFFLE)
    return {**blosc, "fletcher32": True}


def list_filters(dataset: Any) -> list[int]:
    """Return the numbers of an HDF5 dataset's filters, in the order of writing."""
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]


def uses_gzip_alone(dataset: Any) -> bool:
    """Return whether the chunks of an HDF5 dataset are plain zlib streams, which can be decompressed outside HDF5."""
    return list_filters(dataset) == [h5py.h5z.FILTER_DEFLATE]


def require_filters(dataset: Any) -> None:
    """Make sure that HDF5 can read a dataset, loading hdf5plugin if that is what it takes.

    Raises:
        MissingPluginError: If a package is missing; the message says which.
        StoreError: If nothing here knows the filter.
    """
    for number in list_filters(dataset):
        if h5py.h5z.filter_avail(number):
            continue
        if number in _PLUGIN_FILTERS:
            try:
                import hdf5plugin  # noqa: F401 - importing it registers its filters
            except ImportError:
                raise MissingPluginError(
                    f"{dataset.file.filename}: is compressed with {_PLUGIN_FILTERS[number]}, which h5py cannot read "
                    f"alone; {_REMEDY}"
                ) from None
        if not h5py.h5z.filter_avail(number):
            raise StoreError(
                f"{dataset.file.filename}: is compressed with HDF5 filter {number}, for which no plug-in is here"
            )
