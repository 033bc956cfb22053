"""Freed memory that is kept: large blocks used over and over cost few page faults."""

import subprocess
import sys

import pytest

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


def measure(keep):
    command = [sys.executable, "-c", PROGRAM.format(keep=keep)]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return words[0], int(words[1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc alone is told")
def test_kept_memory_is_used_again_without_page_faults():
    known, faults = measure(True)
    if known == "False":
        pytest.skip("another C library than glibc")
    assert faults < measure(False)[1] / 2
