"""The C library's memory: whether blocks that are freed are kept for the next use or given back to the system."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable

# Numbers of mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
# The largest values that glibc's own tuning reaches on 64-bit systems (mallopt(3)): memory stays bounded.
_LARGEST_BLOCK = 32 << 20
_MOST_KEPT = 2 * _LARGEST_BLOCK
_NO_LIMIT = 2**31 - 1
_PAD = 1 << 28


@functools.cache
def keep_freed_blocks() -> bool:
    """Let the C library keep freed memory as it would by itself, for the rest of the process; returns whether it could.

    glibc learns from the first large blocks that are freed to keep such ones, unless a threshold was set before the
    process began. Dask's nanny sets one (MALLOC_TRIM_THRESHOLD_=65536): every array is mapped anew, each photograph
    takes thousands of page faults, and the work takes half as long again (benchmarks/results/workers.md). Other C
    libraries are left as they are.
    """
    return _tune({_MMAP_THRESHOLD: _LARGEST_BLOCK, _TRIM_THRESHOLD: _MOST_KEPT})


@functools.cache
def keep_freed_memory() -> bool:
    """Let the C library keep all freed memory, for the rest of the process; returns whether it could.

    glibc maps every block above 32 MiB anew and unmaps it when it is freed, so that each training step pays for
    millions of page faults: 5 to 15 % of a step on a CPU (benchmarks/results/train.md). Kept blocks cost up to a sixth
    more memory. Other C libraries are left as they are.
    """
    return _tune({_MMAP_MAX: 0, _TRIM_THRESHOLD: _NO_LIMIT, _TOP_PAD: _PAD})


def give_back_freed_memory() -> bool:
    """Let the C library give what is free of its memory back to the system now; returns whether it could.

    For after work that takes much more memory than it leaves, in a process that lives long. Other C libraries than
    glibc are left as they are.
    """
    trim = _find_function("malloc_trim")
    return trim is not None and bool(trim(0))


def _tune(parameters: dict[int, int]) -> bool:
    mallopt = _find_function("mallopt")
    if mallopt is None:
        return False
    taken = [mallopt(number, value) for number, value in parameters.items()]
    return all(taken)


def _find_function(name: str) -> Callable[..., int] | None:
    """Return a function of glibc, None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    return function
