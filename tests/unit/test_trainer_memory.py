"""Freed memory that is kept: a second large block costs no page faults."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import torch
from pggan_core.memory import keep_freed_memory

kept = {keep} and keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = torch.ones(1 << 24)  # 64 MiB
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
    # 16,384 pages of 4 KiB; the allocator itself may touch a few.
    assert faults < 100
    assert faults < measure(False)[1]
