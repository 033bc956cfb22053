"""Index tables that turn a two-dimensional power spectrum into means over rings of equal frequency."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

MAX_RINGS = 64
MIN_RING_BINS = 2  # narrower ones would leave the first ring without an entry


@dataclass(frozen=True)
class Rings:
    """Which entries of a flat power spectrum belong to which ring, sorted so that one `reduceat` sums them all.

    The tables list one entry of every conjugate pair: the mean over it is the mean over the full plane.

    Attributes:
        order: Flat indices of the entries in use, ring after ring.
        starts: Where each ring begins in `order`.
        counts: Entries per ring.
        frequency: Centre of each ring as a fraction of the Nyquist frequency.
        log_frequency: Mean over the ring of the natural log of the frequency of its entries.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    counts: Float32Array
    frequency: Float64Array
    log_frequency: Float64Array

    def gather(self, power: Float32Array) -> Float32Array:
        """Return the entries in use, ring after ring.

        Args:
            power: Flat power spectra, shape (..., M).
        Returns:
            Shape (..., len(order)).
        """
        return np.take(power, self.order, axis=-1, mode="clip")  # skips a check of every index

    def average(self, gathered: Float32Array) -> Float32Array:
        """Return the mean of every ring.

        Args:
            gathered: What `gather` returned, or a function of it, shape (..., len(order)).
        Returns:
            Shape (..., rings).
        """
        return np.asarray(np.add.reduceat(gathered, self.starts, axis=-1) / self.counts, dtype=np.float32)


@cache
def build_image_rings(size: int) -> Rings:
    """Return the rings of a whole picture: ring k holds the radii in [k, k + 1) ring widths.

    There are 64 rings from size 256 up; below that they are 2 bins wide: 32 rings at 128, 16 at 64.
    The corners beyond the Nyquist radius are not in use.

    Args:
        size: Width of the picture in pixels, a power of two.
    """
    radius = _list_radii(size)
    count = min(MAX_RINGS, size // 2 // MIN_RING_BINS)
    ring = np.floor(radius * count).astype(np.intp)
    return _sort_rings(radius, ring, range(count), (np.arange(count) + 0.5) / count)


@cache
def build_block_rings(block: int) -> Rings:
    """Return the rings k = 2 .. block/2 of one block of a picture, radii rounded to whole k.

    Args:
        block: Width of the block in pixels, even.
    """
    radius = _list_radii(block)
    kept = range(2, block // 2 + 1)
    return _sort_rings(radius, np.rint(radius * (block // 2)).astype(np.intp), kept, np.array(kept) / (block // 2))


def pack_power(packed: Float32Array) -> Float32Array:
    """Return the power of one of every conjugate pair of a spectrum, without zero and the Nyquist column.

    Args:
        packed: What `cv2.dft` returns for real input, shape (..., n, n); overwritten.
    Returns:
        Shape (..., (n + 1) * (n / 2 - 1)): first horizontal frequencies 1 .. n/2-1 with all n vertical ones,
        row by row, then horizontal frequency zero with the vertical ones 1 .. n/2-1.
    """
    size = packed.shape[-1]
    columns = size // 2 - 1
    np.multiply(packed, packed, out=packed)
    power = np.empty((*packed.shape[:-2], size + 1, columns), dtype=np.float32)
    # cv2 keeps real and imaginary parts side by side along a row; in the first column they stand below one another.
    np.add(packed[..., 1:-1:2], packed[..., 2::2], out=power[..., :size, :])
    np.add(packed[..., 1:-1:2, 0], packed[..., 2::2, 0], out=power[..., size, :])
    return power.reshape(*packed.shape[:-2], -1)


def _list_radii(size: int) -> Float64Array:
    """Return the radius of every entry that `pack_power` gives, as a fraction of the Nyquist frequency."""
    rows = np.abs(np.fft.fftfreq(size, 0.5))
    rows[size // 2] = 2.0  # out of every ring: the Nyquist column is not in the list either
    columns = np.arange(1, size // 2) / (size // 2)
    return np.concatenate([np.hypot(rows[:, None], columns).ravel(), columns])


def _sort_rings(radius: Float64Array, ring: NDArray[np.intp], kept: range, frequency: Float64Array) -> Rings:
    order = np.argsort(ring, kind="stable")
    order = order[(ring[order] >= kept.start) & (ring[order] < kept.stop)]
    sizes = np.bincount(ring[order] - kept.start, minlength=len(kept))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    log_frequency = np.add.reduceat(np.log(radius[order]), starts) / sizes
    rings = Rings(order, starts, sizes.astype(np.float32), frequency, log_frequency)
    for table in (rings.order, rings.starts, rings.counts, rings.frequency, rings.log_frequency):
        table.setflags(write=False)  # every caller gets the same cached tables
    return rings
