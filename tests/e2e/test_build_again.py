"""The same build again, after something around it has changed: nothing is mixed up, nothing stays that fits no more."""

import csv
import shutil

import numpy as np
import pytest

from celebahq_tools.store.labels import labels_path, save_labels

from .commands import run, run_well

QUICK = ("--size", "64", "--dejpeg", "none", "--sr", "lanczos", "--guards", "none", "--no-report")


def read_rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def folder(photos, tmp_path):
    """A plain folder of four photographs, whose landmarks are detected."""
    for number in (2, 3, 5, 9):
        target = tmp_path / "photos" / f"p{number}.jpg"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(photos / "img_celeba" / f"00000{number}.jpg", target)
    return tmp_path / "photos"


def test_a_photograph_that_moves_the_others_is_noticed(folder, tmp_path):
    build = ("build", "--in", folder, "--landmarks", "detect", "--work", tmp_path / "work", *QUICK)
    run_well(*build, "--out", tmp_path / "a.h5")
    (folder / "p9.jpg").rename(folder / "p1.jpg")
    result = run(*build, "--out", tmp_path / "b.h5")
    assert result.returncode == 1
    assert "was begun with other photographs: number 0 was p2.jpg and is now p1.jpg" in result.stderr
    (folder / "p1.jpg").unlink()
    result = run(*build, "--out", tmp_path / "b.h5")
    assert "number 3 was p9.jpg and is now none" in result.stderr
    assert not (tmp_path / "b.h5").exists()


def test_what_a_build_leaves_in_the_folder_of_photographs_is_no_photograph(folder):
    build = ("build", "--in", folder, "--landmarks", "detect", "--out", folder / "x.h5", *QUICK)
    first = run_well(*build, "--work", folder / "kept")
    save_labels(labels_path(folder / "x.h5"), np.zeros((4, 2), np.float32))
    again = run_well(*build, "--work", folder / "kept", "--overwrite")
    assert "Found 4, ranked 4, kept 4" in first.stdout
    assert "Found 4, ranked 4, kept 4" in again.stdout


def test_a_photograph_that_was_missing_is_looked_for_again(photos, tmp_path):
    source = shutil.copytree(photos, tmp_path / "celeba")
    moved = (source / "img_celeba" / "000003.jpg").rename(tmp_path / "away.jpg")
    build = ("build", "--in", source, "--work", tmp_path / "work", *QUICK)
    run_well(*build, "--out", tmp_path / "a.h5")
    assert read_rows(tmp_path / "a.manifest.csv")[2]["reason"] == "source.missing_file"
    moved.rename(source / "img_celeba" / "000003.jpg")
    run_well(*build, "--out", tmp_path / "b.h5")
    run_well("build", "--in", source, "--out", tmp_path / "c.h5", *QUICK)
    assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "c.h5").read_bytes()
    assert (tmp_path / "b.manifest.csv").read_bytes() == (tmp_path / "c.manifest.csv").read_bytes()


def test_labels_of_the_dataset_before_go_with_it(photos, tmp_path):
    out = tmp_path / "x.h5"
    build = ("build", "--in", photos, "--work", tmp_path / "work", "--out", out, "--limit", 4, *QUICK)
    run_well(*build)
    save_labels(labels_path(out), np.ones((4, 2), np.float32))
    run_well(*build, "--overwrite")
    assert not labels_path(out).exists()
    save_labels(labels_path(out), np.ones((4, 2), np.float32))
    run_well("reselect", tmp_path / "work", "--keep", 4, "--out", out, "--overwrite")
    assert not labels_path(out).exists()
    run_well("verify", out)


def test_labels_that_do_not_fit_can_be_made_again(photos, tmp_path):
    out = tmp_path / "x.h5"
    run_well("build", "--in", photos, "--out", out, "--limit", 3, *QUICK)
    save_labels(labels_path(out), np.ones((9, 2), np.float32))
    attributes = tmp_path / "attributes.txt"
    rows = "".join(f"{number:06d}.jpg 1 -1\n" for number in range(1, 4))
    attributes.write_text(f"3\nOne Two\n{rows}")
    refused = run("info", out)
    assert "labels (9, 2) do not match 3 images; make it again, or move it away" in refused.stderr
    run_well("label", out, "--attributes", attributes, "--overwrite")
    np.testing.assert_array_equal(np.load(labels_path(out)), [[1, 0]] * 3)


def test_a_build_of_nothing_leaves_the_dataset_before_and_its_manifest(photos, tmp_path):
    out, manifest = tmp_path / "x.h5", tmp_path / "x.manifest.csv"
    run_well("build", "--in", photos, "--out", out, "--limit", 3, *QUICK)
    before = out.read_bytes(), manifest.read_bytes()
    build = ("build", "--in", photos, "--out", out, "--only", "12:14", "--overwrite", *QUICK)
    result = run(*build)
    assert result.returncode == 1
    assert f"none of 2 photographs gave a face; reasons in {tmp_path / 'x.rejected.csv'}" in result.stderr
    assert (out.read_bytes(), manifest.read_bytes()) == before
    reasons = [row["reason"] for row in read_rows(tmp_path / "x.rejected.csv")]
    assert reasons == ["decode.truncated", "source.missing_file"]


def test_a_dataset_of_the_same_name_but_for_its_ending_keeps_its_manifest(photos, tmp_path):
    run_well("build", "--in", photos, "--out", tmp_path / "x.h5", "--limit", 3, *QUICK)
    before = (tmp_path / "x.manifest.csv").read_bytes()
    result = run("build", "--in", photos, "--out", tmp_path / "x.hdf5", "--limit", 2, "--overwrite", *QUICK)
    assert result.returncode == 1
    assert "x.manifest.csv: belongs to x.h5, and would be replaced; pass another --out" in result.stderr
    assert (tmp_path / "x.manifest.csv").read_bytes() == before
