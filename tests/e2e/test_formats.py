"""`celebahq export`, `info` and their companions through the installed command."""

import json
import os
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from celebahq_tools.store.export import EXPORTERS
from celebahq_tools.store.labels import encode_one_hot, save_labels
from celebahq_tools.store.writer import create_dataset

from .commands import run, run_well

FACES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
LABELS = encode_one_hot([0, 1, 2, 0, 1, 2], 3)


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


WAYS = {
    "png": ("folder", "p"),
    "npz": ("npz", "x.npz"),
    "stylegan-zip": ("zip", "x.zip"),
    "tfrecords": ("tfrecords", "t"),
    "webdataset": ("webdataset", "w"),
}


@pytest.mark.parametrize("to", WAYS)
def test_export_and_import_lead_back_to_the_same_dataset(to, dataset, tmp_path):
    kind, name = WAYS[to]
    result = run_well("export", dataset, "--to", to, "--out", tmp_path / name)
    assert "Exported 6 images" in result.stdout
    result = run_well("import", tmp_path / name, "--kind", kind, "--out", tmp_path / "back.h5")
    assert "Found 6, kept 6 of 32x32 with 3 channels, 3 label columns" in result.stdout
    with h5py.File(tmp_path / "back.h5") as file:
        np.testing.assert_array_equal(file["data32x32"][:].transpose(0, 2, 3, 1), FACES)
    np.testing.assert_array_equal(np.load(tmp_path / "back-labels.npy"), LABELS)


def test_an_import_counts_what_it_rejects_and_names_the_manifest(dataset, tmp_path):
    run("export", dataset, "--to", "png", "--out", tmp_path / "png")
    (tmp_path / "png" / "dataset.json").unlink()
    (tmp_path / "png" / "00000" / "readme.txt").write_text("hello")
    result = run_well("import", tmp_path / "png", "--kind", "folder", "--out", tmp_path / "a.h5", "--size", 16)
    assert "Found 7, kept 6 of 16x16" in result.stdout
    assert "decode.not_an_image" in result.stdout
    again = run("import", tmp_path / "png", "--kind", "folder", "--out", tmp_path / "a.h5")
    assert again.returncode == 1
    assert "--overwrite" in again.stderr
    assert "Traceback" not in again.stderr


def test_the_help_of_export_names_every_format():
    assert all(name in run("export", "--help").stdout for name in EXPORTERS)


def test_verify_passes_a_sound_dataset_and_names_planted_damage(dataset, tmp_path):
    result = run_well("verify", dataset)
    assert "sound. Checked 6 images, 6 levels" in result.stdout
    data = bytearray(dataset.read_bytes())
    with h5py.File(dataset) as file:
        chunk = file["data32x32"].id.get_chunk_info(4)
    data[chunk.byte_offset + 50] ^= 1
    (tmp_path / "x.h5").write_bytes(data)
    result = run("verify", tmp_path / "x.h5")
    assert result.returncode == 1
    assert "chunk.damaged: data32x32: image 4" in result.stdout
    assert "x.h5: damaged (1 chunk.damaged)" in result.stderr
    (tmp_path / "x.h5").write_bytes(data[:5000])
    result = run("verify", tmp_path / "x.h5")
    assert result.returncode == 1
    assert "file.truncated" in result.stdout


def test_info_prints_levels_labels_and_settings(dataset):
    result = run_well("info", dataset)
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
def test_an_export_or_import_to_a_full_disk_leaves_nothing(dataset, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine does not let the tests mount a disk")
    try:
        exports = {name: ("export", dataset, "--to", to) for to, (_, name) in WAYS.items()}
        source = run("export", dataset, "--to", "png", "--out", tmp_path / "png")
        assert source.returncode == 0
        for name, arguments in {**exports, "x.h5": ("import", tmp_path / "png", "--kind", "folder")}.items():
            result = run(*arguments, "--out", disk / name)
            assert result.returncode == 1
            assert "the disk is full" in result.stderr
            assert "Traceback" not in result.stderr
            assert os.listdir(disk) == []
    finally:
        subprocess.run(["umount", disk], check=True)
