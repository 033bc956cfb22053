"""`celebahq restore` as a user runs it: train for a few steps, restore a folder with the result, compare."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from celebahq_cli.celebahq import main
from click.testing import CliRunner
from PIL import Image

PROGRAM = Path(sys.executable).with_name("celebahq")


def run_here(*arguments: str | Path, expect: int = 0) -> str:
    """Run the command in this process: a program of its own spends seconds on importing torch."""
    result = CliRunner().invoke(main, ["restore", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    return result.output


def run(*arguments: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([PROGRAM, "restore", *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == expect, result.stderr
    return result


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "coffee"):
        Image.fromarray(getattr(skimage.data, name)()[:296, :400]).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def weights(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    result = run(
        "train", "--task", "dejpeg", "--photos", photos, "--run-dir", folder, "--net", "rednet-xs", "--steps", "2",
        "--batch", "1", "--patch", "16", "--downscale", "1", "--threads", "1", "--device", "cpu",
    )  # fmt: skip
    assert f"Weights: {folder}/weights.safetensors" in result.stdout
    assert "photographs: 1 to train on, 1 to measure on" in result.stderr + result.stdout
    return folder / "weights.safetensors"


def test_a_folder_is_restored_with_trained_weights_and_bad_files_are_listed(weights: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    Image.fromarray(skimage.data.astronaut()[:60, :50]).save(source / "a.jpg", quality=20)
    Image.fromarray(skimage.data.coffee()[:30, :40]).save(source / "deep" / "b.png")
    (source / "broken.jpg").write_bytes(b"not a picture")
    result = run("run", source, tmp_path / "out", "--dejpeg", weights, "--sr", "lanczos")
    assert "Restored 2" in result.stdout
    assert "broken.jpg: decode.not_an_image" in result.stdout
    assert Image.open(tmp_path / "out" / "a.png").size == (200, 240)
    assert Image.open(tmp_path / "out" / "deep" / "b.png").size == (160, 120)


def test_one_picture_with_no_net_keeps_its_pixels(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    pixels = skimage.data.astronaut()[:20, :30]
    Image.fromarray(pixels).save(source)
    run_here("run", source, tmp_path / "out.png", "--dejpeg", "none")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), pixels)
    assert "use .png" in run_here("run", source, tmp_path / "out.xyz", "--dejpeg", "none", expect=1)
    absent = run_here("run", tmp_path / "absent", tmp_path / "out.png", "--dejpeg", "none", expect=1)
    assert "no such folder" in absent


def test_methods_are_compared_in_tables(weights: Path, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.md"
    run(
        "evaluate", weights, "--task", "dejpeg", "--photos", photos, "--qualities", "10,90", "--side", "64",
        "--downscale", "1", "--out", table,
    )  # fmt: skip
    text = table.read_text()
    assert "2 crops of 64x64 from 2 photographs." in text
    assert "| method | q10 | q90 | q10 shifted | q90 shifted | clean |" in text
    # Doing nothing gains nothing, and its time is not that of a net.
    assert "| JPEG | +0.00 | +0.00 | +0.00 | +0.00 | +0.00 |" in text
    assert "| weights.safetensors |" in text


def test_enlargements_are_compared_by_swd_too(photos: Path) -> None:
    result = run(
        "evaluate", "lanczos", "--task", "sr", "--photos", photos, "--qualities", "75", "--side", "64",
        "--downscale", "1",
    )  # fmt: skip
    assert "SWD x1e3 of 7x7 patches:" in result.stdout
    assert "| bicubic |" in result.stdout
    assert "| lanczos |" in result.stdout


def test_wrong_options_end_in_one_line(photos: Path, tmp_path: Path) -> None:
    missing = ("train", "--task", "sr", "--photos", tmp_path / "absent", "--run-dir", tmp_path / "run")
    assert "no such folder of photographs" in run_here(*missing, expect=1)
    compare = ("evaluate", "none", "--task", "dejpeg", "--photos", photos)
    assert "--qualities x: must be whole numbers" in run_here(*compare, "--qualities", "x", expect=1)
    assert "no photograph has room" in run_here(*compare, "--side", "512", expect=1)
    assert "must be a multiple of 4" in run_here(*compare, "--side", "66", expect=1)
