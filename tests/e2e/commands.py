"""The installed `celebahq`, called as a user does."""

import subprocess
import sys
from pathlib import Path

CELEBAHQ = Path(sys.executable).with_name("celebahq")


def run(*arguments, **options):
    """Return what became of `celebahq` with these arguments, its output as text."""
    return subprocess.run([CELEBAHQ, *map(str, arguments)], capture_output=True, text=True, timeout=500, **options)


def run_well(*arguments, **options):
    """Return the same of a command that must succeed."""
    result = run(*arguments, **options)
    assert result.returncode == 0, result.stderr
    return result
