"""Memory of a training process on a CPU: freed blocks are kept for the next step instead of given back."""

from __future__ import annotations

import ctypes
import functools
import sys

# Numbers of mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_LARGEST = 2**31 - 1
_PAD = 1 << 28


@functools.cache
def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory, for the rest of the process; returns whether it could.

    glibc maps every large block anew and unmaps it when it is freed, so that each training step pays for millions of
    page faults: 5 to 15 % of a step on a CPU (benchmarks/results/train.md). Kept blocks cost up to a sixth more memory.
    Other C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, _LARGEST), mallopt(_TOP_PAD, _PAD)])
