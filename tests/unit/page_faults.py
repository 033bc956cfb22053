"""Page faults of a program in a process of its own: faults are counted, not timed."""

import subprocess
import sys


def count_faults(program, *, keep, environment=None):
    """Run a program that ends by printing whether memory is kept and its page faults; ``{keep}`` in it is filled in."""
    command = [sys.executable, "-c", program.format(keep=keep)]
    kept, faults = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()
    return kept == "True", int(faults)
