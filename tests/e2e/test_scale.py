"""Builds on a cluster, of a part, of an official list, and after kills, through the installed command."""

import csv
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from .commands import CELEBAHQ, run, run_well

ROOT = Path(__file__).parents[2]
QUICK = ("--size", "64", "--dejpeg", "none", "--sr", "lanczos")


def read_rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def built(photos, tmp_path_factory):
    """All faces of the sample, in source order."""
    out = tmp_path_factory.mktemp("built") / "faces.h5"
    run_well("build", "--in", photos, "--out", out, "--workers", 1, *QUICK)
    return out


@pytest.fixture
def cluster(tmp_path):
    """A Dask scheduler and two worker processes on this machine; yields the address and the workers."""
    pytest.importorskip("distributed")
    address_file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    place = ["--host", "127.0.0.1", "--no-dashboard"]
    worker = ["worker", "--scheduler-file", address_file, "--nthreads", "1", "--no-nanny", *place]
    processes = [
        subprocess.Popen([*dask, "scheduler", "--scheduler-file", address_file, "--port", "0", *place], **quiet)
    ]
    try:
        deadline = time.monotonic() + 60
        while not address_file.is_file() and time.monotonic() < deadline:
            time.sleep(0.1)
        processes += [subprocess.Popen([*dask, *map(str, worker)], **quiet) for _ in range(2)]
        from distributed import Client

        with Client(scheduler_file=str(address_file)) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def check_build_through_kill(photos, built, out, backend, address, kill):
    """Build on a cluster, kill workers once the first face waits, and compare with an undisturbed build."""
    command = ["build", "--in", photos, "--out", out, "--backend", backend, "--scheduler", address, *QUICK]
    process = subprocess.Popen(
        [CELEBAHQ, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(out.parent.glob(f"{out.name}.work/faces/*/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill()
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert out.read_bytes() == built.read_bytes()
    assert out.with_suffix(".manifest.csv").read_bytes() == built.with_suffix(".manifest.csv").read_bytes()


def test_a_cluster_that_loses_a_worker_makes_the_identical_file(photos, built, cluster, tmp_path):
    address, (_, victim) = cluster
    check_build_through_kill(photos, built, tmp_path / "faces.h5", "dask", address, victim.kill)


@pytest.fixture
def ray_node(tmp_path):
    """A Ray node of two processors on this machine; yields its address."""
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2"]
    place = ["--node-ip-address", "127.0.0.1", "--port", str(port)]
    quiet = ["--include-dashboard", "false", "--disable-usage-stats"]
    node = subprocess.Popen(
        [*start, *place, *quiet], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    try:
        deadline = time.monotonic() + 60
        while not is_listening(port) and time.monotonic() < deadline:
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        node.terminate()
        node.wait(timeout=60)


def is_listening(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_a_ray_cluster_that_loses_its_workers_makes_the_identical_file(photos, built, ray_node, tmp_path):
    def kill():
        # Workers of Ray call themselves by what they are at.
        subprocess.run(["pkill", "-9", "-f", "^ray::_run_batch"], check=False)

    check_build_through_kill(photos, built, tmp_path / "faces.h5", "ray", ray_node, kill)


def test_an_official_list_is_rebuilt_in_its_order_with_the_map_stored(photos, built, tmp_path):
    listed = [6, 2, 9, 0]
    rows = [f"{place} {index} {index + 1:06d}.jpg aa bb" for place, index in enumerate(listed)]
    selection = tmp_path / "image_list.txt"
    selection.write_text("\n".join(["idx orig_idx orig_file proc_md5 final_md5", *reversed(rows)]) + "\n")
    out = tmp_path / "hq.h5"
    run_well("build", "--in", photos, "--out", out, "--select", selection, "--keep", 2, *QUICK)
    places = {
        row["file"]: int(row["dataset_index"])
        for row in read_rows(built.with_suffix(".manifest.csv"))
        if row["dataset_index"]
    }
    with h5py.File(out) as ours, h5py.File(built) as all_faces:
        np.testing.assert_array_equal(ours["orig_idx"][:], listed)
        order = [places[f"{index + 1:06d}.jpg"] for index in listed]
        np.testing.assert_array_equal(ours["data64x64"][:], all_faces["data64x64"][:][order])
    manifest = read_rows(tmp_path / "hq.manifest.csv")
    assert {int(row["index"]): int(row["dataset_index"]) for row in manifest} == {6: 0, 2: 1, 9: 2, 0: 3}
    first = tmp_path / "first.h5"
    assert run("build", "--in", photos, "--out", first, "--select", selection, "--limit", 2, *QUICK).returncode == 0
    with h5py.File(first) as file:
        assert file["orig_idx"][:].tolist() == [6, 2]


def test_a_listed_photograph_that_is_missing_is_named(photos, tmp_path):
    selection = tmp_path / "mapping.txt"
    # The sample's last row has no file; the other has no row.
    selection.write_text("idx orig_idx orig_file\n0 13 000014.jpg\n1 0 000001.jpg\n2 77777 077778.jpg\n")
    result = run("build", "--in", photos, "--out", tmp_path / "x.h5", "--select", selection, *QUICK)
    assert result.returncode == 1
    assert "2 of its 3 photographs are not there: 000014.jpg, 077778.jpg" in result.stderr


def test_parts_of_the_source_add_up_in_one_work_folder(photos, built, tmp_path):
    work = tmp_path / "work"
    for number, part in enumerate(("0:5", "5:")):
        out = tmp_path / f"part{number}.h5"
        run_well("build", "--in", photos, "--out", out, "--only", part, "--work", work, *QUICK)
        assert [int(row["index"]) for row in read_rows(out.with_suffix(".manifest.csv"))] == list(range(14))[
            slice(*(int(text) if text else None for text in part.split(":")))
        ]
    out = tmp_path / "all.h5"
    run_well("build", "--in", photos, "--out", out, "--work", work, *QUICK)
    assert out.read_bytes() == built.read_bytes()
    status = run("status", work)
    assert status.returncode == 0
    assert "finished, started 3 times" in status.stdout
    assert "14 of 14 done" in status.stdout
    few = tmp_path / "few.h5"
    assert run("build", "--in", photos, "--out", few, "--limit", 3, *QUICK).returncode == 0
    assert len(read_rows(few.with_suffix(".manifest.csv"))) == 3


def test_two_builds_in_one_work_folder_are_refused(photos, tmp_path):
    from filelock import FileLock

    work = tmp_path / "work"
    work.mkdir()
    with FileLock(work / "lock"):
        result = run("build", "--in", photos, "--out", tmp_path / "x.h5", "--work", work, *QUICK)
    assert result.returncode == 1
    assert "another build is running in it" in result.stderr


def test_a_face_that_the_disk_spoilt_is_made_again(photos, built, tmp_path):
    work, out = tmp_path / "work", tmp_path / "x.h5"
    assert run("build", "--in", photos, "--out", out, "--work", work, *QUICK).returncode == 0
    faces = sorted(work.glob("faces/*/*.npz"))
    faces[0].write_bytes(faces[0].read_bytes()[:100])
    faces[1].unlink()
    (faces[2].parent / ".left.partial").write_text("of a killed worker")
    run_well("build", "--in", photos, "--out", out, "--work", work, "--overwrite", *QUICK)
    assert out.read_bytes() == built.read_bytes()
    assert not list(work.glob("faces/*/.*"))


@pytest.mark.long  # fifty builds and more
def test_fifty_builds_killed_at_random_moments_end_byte_identical():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.kill_test"], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert result.returncode == 0, result.stdout + result.stderr
