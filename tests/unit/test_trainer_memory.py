"""Freed memory that is kept: large blocks used over and over cost few page faults."""

import sys

import pytest

from .page_faults import count_faults

# Blocks of 40 MiB are more than glibc keeps by itself. They are aligned: the allocator may need a dozen turns until a
# freed one fits the next request, so the faults of all turns are counted and not those of a chosen one.
PROGRAM = """
import resource
import torch
from celebahq_tools.allocator import keep_freed_memory

kept = {keep} and keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(60):
    block = torch.ones(10 << 20)
    del block
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc alone is told")
def test_kept_memory_is_used_again_without_page_faults():
    known, faults = count_faults(PROGRAM, keep=True)
    if not known:
        pytest.skip("another C library than glibc")
    assert faults < count_faults(PROGRAM, keep=False)[1] / 2
