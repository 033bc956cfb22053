"""Every command answers --help quickly, without heavy imports, and stands in the docs."""

import importlib
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("celebahq", "swd", "pggan")
HEAVY = ("torch", "cv2", "h5py", "scipy", "skimage", "matplotlib")


def list_commands():
    commands = []
    for program in PROGRAMS:
        group = importlib.import_module(f"celebahq_cli.{program}").main
        commands.append((program,))
        commands += [(program, name) for name in group.commands]
    return commands


@pytest.mark.parametrize("command", list_commands(), ids=" ".join)
def test_help_answers_within_half_a_second_and_imports_nothing_heavy(command):
    code = (
        "import sys; from click.testing import CliRunner; from importlib import import_module;"
        f"r = CliRunner().invoke(import_module('celebahq_cli.{command[0]}').main, {[*command[1:], '--help']!r});"
        f"print(r.exit_code, [m for m in {HEAVY!r} if m in sys.modules])"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.stdout.strip() == "0 []"
    # Processor time: what the clock on the wall says depends on what else the machine does.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_installed_program_prints_its_version(program):
    path = Path(sys.executable).with_name(program)
    result = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.split()[-1] == "0.1.0"


@pytest.mark.parametrize("command", list_commands(), ids=" ".join)
def test_every_command_has_a_help_text_and_stands_in_the_docs(command):
    group = importlib.import_module(f"celebahq_cli.{command[0]}").main
    node = group.commands[command[1]] if command[1:] else group
    assert isinstance(node, click.Command)
    assert node.help
    assert all(option.help for option in node.params if isinstance(option, click.Option))
    documents = "\n".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert " ".join(command) in documents
