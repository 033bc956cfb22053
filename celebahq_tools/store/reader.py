"""Read multi-resolution HDF5 files: ours, and any in the original's layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import ShapeError, StoreError


class DatasetReader:
    """A dataset file opened for reading; every level is found by its shape, not by its name.

    Attributes:
        path: The file.
        labels: One-hot float32 (N, classes) from the sibling ``<name>-labels.npy``, or None.

    Args:
        path: HDF5 file with datasets whose names start with ``data``.
    Raises:
        StoreError: If the file is missing, not HDF5, incomplete, or holds no image levels.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise StoreError(f"{path}: no such file")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise StoreError(f"{path}: not a readable HDF5 file ({error}); rebuild it or copy it again") from None
        try:
            self._levels = self._find_levels()
            self.labels = self._read_labels()
        except BaseException:
            self._file.close()
            raise

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """(channels, height, width) of every level, largest first."""
        return list(self._levels)

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the file's root; files of the original have none."""
        return dict(self._file.attrs)

    def __len__(self) -> int:
        return len(next(iter(self._levels.values())))

    def read(self, indices: int | slice | Sequence[int], *, height: int | None = None) -> NDArray[np.uint8]:
        """Return images of one level.

        Args:
            indices: One index, a slice, or a sequence of indices in any order, repeats allowed.
            height: Height of the level in pixels; the largest when omitted.
        Returns:
            (C, h, w) uint8 for one index, else (N, C, h, w).
        Raises:
            ShapeError: If there is no such level.
            StoreError: If a chunk cannot be decompressed.
            IndexError: If an index is out of range.
        """
        dataset = self._levels[self._choose_level(height)]
        try:
            if isinstance(indices, (int, np.integer, slice)):
                return np.asarray(dataset[indices])
            wanted = np.asarray(indices, dtype=np.int64)
            # h5py takes only increasing indices without repeats.
            unique, inverse = np.unique(wanted, return_inverse=True)
            if unique.size and not 0 <= unique[0] <= unique[-1] < len(dataset):
                raise IndexError(f"{self.path}: index out of range for {len(dataset)} images")
            return np.asarray(dataset[unique])[inverse]
        except OSError as error:
            raise StoreError(f"{self.path}: damaged data in {dataset.name}: {error}") from None

    def _choose_level(self, height: int | None) -> tuple[int, int, int]:
        if height is None:
            return next(iter(self._levels))
        for shape in self._levels:
            if shape[1] == height:
                return shape
        raise ShapeError(f"{self.path}: no level of height {height}; it holds {[s[1] for s in self._levels]}")

    def _find_levels(self) -> dict[tuple[int, int, int], Any]:
        found = {
            (int(node.shape[1]), int(node.shape[2]), int(node.shape[3])): node
            for name, node in self._file.items()
            if name.startswith("data") and isinstance(node, h5py.Dataset) and node.ndim == 4
        }
        if not found:
            raise StoreError(f"{self.path}: holds no image levels named data*; is it a multi-resolution dataset?")
        lengths = {shape: len(node) for shape, node in found.items()}
        if len(set(lengths.values())) != 1:
            raise StoreError(f"{self.path}: levels differ in length {lengths}; the file was not finished")
        wrong = [node.name for node in found.values() if node.dtype != np.uint8]
        if wrong:
            raise StoreError(f"{self.path}: {', '.join(wrong)} is not uint8")
        return dict(sorted(found.items(), key=lambda item: -item[0][1] * item[0][2]))

    def _read_labels(self) -> NDArray[np.float32] | None:
        path = self.path.with_name(f"{self.path.stem}-labels.npy")
        if not path.is_file():
            return None
        try:
            labels = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: not a readable label file ({error})") from None
        if labels.ndim != 2 or len(labels) != len(self):
            raise StoreError(f"{path}: labels {labels.shape} do not match {len(self)} images")
        return np.asarray(labels, dtype=np.float32)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> DatasetReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
