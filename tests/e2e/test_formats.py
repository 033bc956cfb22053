"""`celebahq export`, `info` and their companions through the installed command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from celebahq_tools.store.export import EXPORTERS
from celebahq_tools.store.labels import encode_one_hot, save_labels
from celebahq_tools.store.writer import create_dataset

CELEBAHQ = Path(sys.executable).with_name("celebahq")
FACES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
LABELS = encode_one_hot([0, 1, 2, 0, 1, 2], 3)


def run(*arguments, **options):
    return subprocess.run([CELEBAHQ, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)


def write_dataset(path, images=FACES, labels=LABELS, **attributes):
    with create_dataset(
        path, height=images.shape[1], width=images.shape[2], channels=images.shape[3], attributes=attributes
    ) as writer:
        for image in images:
            writer.append(image)
    if labels is not None:
        save_labels(path.with_name(f"{path.stem}-labels.npy"), labels)
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("formats") / "faces.h5", resample="box")


def test_the_help_of_export_names_every_format():
    assert all(name in run("export", "--help").stdout for name in EXPORTERS)


def test_info_prints_levels_labels_and_settings(dataset):
    result = run("info", dataset)
    assert result.returncode == 0, result.stderr
    for text in ("6 of 32x32, RGB", "data32x32", "data1x1", "3 classes in faces-labels.npy", "the original's", "box"):
        assert text in result.stdout
    found = json.loads(run("info", dataset, "--json").stdout)
    assert found["images"] == 6
    assert found["levels"][0]["filters"] == ["gzip"]


def test_info_names_what_is_wrong_with_another_file(tmp_path):
    (tmp_path / "x.h5").write_text("hello")
    result = run("info", tmp_path / "x.h5")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "x.h5: not a readable HDF5 file" in result.stderr


@pytest.mark.skipif(not Path("/dev/shm").is_dir() or os.name == "nt" or os.geteuid() != 0, reason="mounts a tiny disk")
def test_an_export_to_a_full_disk_leaves_nothing(dataset, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine does not let the tests mount a disk")
    try:
        for to, name in {"png": "p", "npz": "x.npz", "stylegan-zip": "x.zip"}.items():
            result = run("export", dataset, "--to", to, "--out", disk / name)
            assert result.returncode == 1
            assert "the disk is full" in result.stderr
            assert "Traceback" not in result.stderr
            assert os.listdir(disk) == []
    finally:
        subprocess.run(["umount", disk], check=True)
