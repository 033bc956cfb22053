"""A multi-resolution HDF5 dataset, ours or the original's: for another compression, or all levels anew."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError, RejectionError, StoreError
from celebahq_tools.source.importers.base import ArraySource, ImportRequest
from celebahq_tools.store.reader import DatasetReader


class DatasetSource(ArraySource):
    """The largest level of a dataset, with its labels."""

    def __init__(self, request: ImportRequest) -> None:
        try:
            self._reader = DatasetReader(request.path)
        except StoreError as error:
            raise InputError(str(error)) from None
        self.label_names = tuple(str(self._reader.attributes.get("label_names", "")).split())
        if request.use_labels is not False:
            self.labels = self._reader.labels

    def __len__(self) -> int:
        return len(self._reader)

    def name(self, index: int) -> str:
        """Return the number of the image."""
        return f"image {index}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return one image, (C, H, W); see :meth:`ImportSource.read`."""
        try:
            return self._reader.read(index)
        except StoreError as error:
            raise RejectionError("decode", "damaged", str(error)) from None

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def open_dataset(request: ImportRequest) -> DatasetSource:
    """Open a dataset.

    Raises:
        InputError: If it is missing, damaged, or no dataset of images.
    """
    return DatasetSource(request)
