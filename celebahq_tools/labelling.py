"""Give a built dataset the attributes of its photographs, matched by the manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from celebahq_tools.errors import ConfigError, InputError, StoreError
from celebahq_tools.source.importers.celeba_aligned import read_attributes
from celebahq_tools.store.labels import labels_path, save_labels
from celebahq_tools.store.manifest import manifest_path, read_kept
from celebahq_tools.store.reader import DatasetReader


def label_dataset(path: Path, attributes: Path, *, overwrite: bool = False) -> tuple[Path, tuple[str, ...]]:
    """Write labels of 0 and 1 beside a dataset, one row per image, one column per attribute.

    Args:
        path: The dataset; its manifest says which photograph each image came from.
        attributes: ``list_attr_celeba.txt`` or its CSV form, or any file of that kind.
        overwrite: Replace labels that are there.
    Returns:
        The labels' file and the names of its columns.
    Raises:
        StoreError: If the dataset or its manifest cannot be read or do not fit.
        InputError: If the attributes cannot be read or lack a photograph.
        ConfigError: If there are labels already.
    """
    out = labels_path(path)
    if out.exists() and not overwrite:
        raise ConfigError(f"{out}: exists already; pass --overwrite to replace it")
    if not manifest_path(path).is_file():
        raise StoreError(f"{manifest_path(path)}: no such manifest; without it nobody knows which image is whose")
    with DatasetReader(path, with_labels=False) as reader:  # those that are replaced need not fit
        count = len(reader)
    files = [row.file for row in read_kept(manifest_path(path), count)]
    names, rows = read_attributes(attributes)
    missing = [file for file in files if file not in rows]
    if missing:
        raise InputError(f"{attributes}: no row for {len(missing)} photographs of {path}, {missing[0]} among them")
    save_labels(out, np.stack([rows[file] for file in files]))
    return out, names
