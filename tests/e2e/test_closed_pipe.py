"""Commands whose output nobody reads any more, as before `head`, end without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
COMMANDS = ("celebahq weights", "celebahq --help", "pggan presets", "pggan train --help", "swd score --help")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_pipe_ends_a_command_quietly(command):
    reader, writer = os.pipe()
    os.close(reader)
    program, *arguments = command.split()
    done = subprocess.run([BIN / program, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_head_gets_its_line_and_no_complaint_follows():
    done = subprocess.run(f"{BIN / 'celebahq'} weights | head -1", shell=True, capture_output=True, text=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
