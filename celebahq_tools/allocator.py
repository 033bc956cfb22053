"""Memory of a worker process: blocks that a photograph frees are kept for the next instead of given back."""

from __future__ import annotations

import ctypes
import functools
import sys

# Numbers of mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# The largest values that glibc's own tuning reaches on 64-bit systems (mallopt(3)): memory stays bounded.
_LARGEST_BLOCK = 32 << 20
_MOST_KEPT = 2 * _LARGEST_BLOCK


@functools.cache
def keep_freed_blocks() -> bool:
    """Let the C library keep freed memory as it would by itself, for the rest of the process; returns whether it could.

    glibc learns from the first large blocks that are freed to keep such ones, unless a threshold was set before the
    process began. Dask's nanny sets one (MALLOC_TRIM_THRESHOLD_=65536): every array is mapped anew, each photograph
    takes thousands of page faults, and the work takes half as long again (benchmarks/results/workers.md). Other C
    libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all([mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK), mallopt(_TRIM_THRESHOLD, _MOST_KEPT)])
