"""Builds that end while they write the dataset, by SIGKILL or on a full disk, through the command's own entry point."""

import os
import signal
import subprocess
import sys

import pytest

from celebahq_tools.hdf5_writing import SPARE_BYTES

from .commands import run, run_well

OPTIONS = ("--size", "64", "--dejpeg", "none", "--sr", "lanczos", "--workers", "1", "--no-report")
# The real command in a real process, which kills itself before the n-th call of a function.
KILLED = """
import os, signal, sys
from celebahq_cli.celebahq import main
from celebahq_tools import {module}
real, calls = {module}.{function}, 0
def die_at_last(*arguments, **options):
    global calls
    calls += 1
    if calls > {calls}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
{module}.{function} = die_at_last
main(sys.argv[1:])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills processes")
def test_a_build_killed_while_it_writes_the_dataset_ends_byte_identical(photos, tmp_path):
    whole, killed = tmp_path / "whole.d", tmp_path / "killed.d"
    whole.mkdir(), killed.mkdir()
    result = run_well("build", "--in", photos, "--out", whole / "x.h5", *OPTIONS)
    out, work = killed / "x.h5", killed / "x.h5.work"
    command = ("build", "--in", photos, "--out", out, *OPTIONS)
    waiting = []
    # In the second part; between a part's safety and the deletion of its faces; when all is written and unnamed.
    for module, function, calls in (
        ("dataset_parts", "load_encoded", 8),
        ("publishing", "save_checkpoint", 0),
        ("pipeline", "write_manifest", 0),
    ):
        script = KILLED.format(module=module, function=function, calls=calls)
        killing = [sys.executable, "-c", script, *map(str, command)]
        result = subprocess.run(killing, capture_output=True, text=True, timeout=300)
        assert result.returncode == -signal.SIGKILL, result.stderr
        assert not out.exists()
        waiting.append(len(list(work.glob("faces/*/*.npz"))))
        assert len(list(killed.glob(".x.h5.*.building"))) == 1
    assert waiting[0] > 0
    assert waiting[-1] == 0
    status = run("status", work)
    assert "in the dataset" in status.stdout
    result = run_well(*command)
    assert "faces again" not in result.stderr
    assert out.read_bytes() == (whole / "x.h5").read_bytes()
    assert (killed / "x.manifest.csv").read_bytes() == (whole / "x.manifest.csv").read_bytes()
    assert sorted(path.name for path in killed.iterdir()) == ["x.h5", "x.manifest.csv"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="mounts a tiny disk")
def test_a_disk_that_fills_while_the_dataset_is_written_can_be_made_larger(photos, tmp_path):
    whole = tmp_path / "whole.h5"
    result = run_well("build", "--in", photos, "--out", whole, *OPTIONS)
    disk = tmp_path / "disk"
    disk.mkdir()
    # Room for about half of the dataset besides what is held back; the faces wait on another disk.
    room = SPARE_BYTES + whole.stat().st_size // 2
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine does not let the tests mount a disk")
    try:
        command = ("build", "--in", photos, "--out", disk / "x.h5", "--work", tmp_path / "work", *OPTIONS)
        result = run(*command)
        assert result.returncode == 1
        assert "the disk is full" in result.stderr
        assert "Traceback" not in result.stderr
        assert not (disk / "x.h5").exists()
        assert list(tmp_path.glob("work/faces/*/*.npz"))
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        result = run_well(*command)
        assert "faces again" not in result.stderr
        assert (disk / "x.h5").read_bytes() == whole.read_bytes()
        assert (disk / "x.manifest.csv").read_bytes() == whole.with_suffix(".manifest.csv").read_bytes()
    finally:
        subprocess.run(["umount", disk], check=True)
