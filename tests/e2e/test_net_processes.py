"""Builds whose nets run in processes of their own, on the CPU, through the installed command."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from .commands import CELEBAHQ, run

NETS = ("--size", 64, "--dejpeg", "rednet-xs", "--sr", "srres-m", "--device", "cpu", "--workers", 2, "--no-report")


def start(photos, out, *options):
    command = [CELEBAHQ, "build", "--in", photos, "--out", out, *NETS, *options]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return errors


def list_children(parent, name):
    """Return the ids of a process's children whose command line has a name in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            above = int((path.parent / "stat").read_text().rpartition(")")[2].split()[1])
            if above == parent and name in path.read_text():
                found.append(int(path.parent.name))
    return found


def wait_for_a_face(work):
    deadline = time.monotonic() + 200
    while not list(work.glob("faces/*/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.fixture(scope="module")
def built(photos, tmp_path_factory):
    """The dataset of workers that run the nets themselves."""
    out = tmp_path_factory.mktemp("built") / "faces.h5"
    finish(start(photos, out))
    return out


def assert_same(out, built):
    assert out.read_bytes() == built.read_bytes()
    assert out.with_suffix(".manifest.csv").read_bytes() == built.with_suffix(".manifest.csv").read_bytes()


def test_two_net_processes_make_the_identical_file(photos, built, tmp_path):
    out = tmp_path / "faces.h5"
    assert "net process" not in finish(start(photos, out, "--net-processes", 2))
    assert_same(out, built)


def test_a_net_process_and_a_worker_that_are_killed_cost_nothing(photos, built, tmp_path):
    out = tmp_path / "faces.h5"
    build = start(photos, out, "--net-processes", 1)
    wait_for_a_face(tmp_path / "faces.h5.work")
    (victim,) = list_children(build.pid, "celebahq_tools.restore.net_process")
    os.kill(victim, signal.SIGKILL)
    workers = list_children(build.pid, "loky.backend.popen_loky_posix")
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    assert "was killed by signal 9: starting it again" in finish(build)
    assert_same(out, built)


def test_gpus_that_are_not_there_are_refused(photos, tmp_path):
    result = run("build", "--in", photos, "--out", tmp_path / "x.h5", "--gpus", "99")
    assert result.returncode == 1
    assert "--gpus 99: torch sees" in result.stderr
