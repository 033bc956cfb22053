"""`pggan` after training: a tiny run, and what is made of it with the commands as a user types them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from celebahq_cli import pggan
from click.testing import CliRunner
from PIL import Image

from celebahq_tools.store.reader import DatasetReader
from celebahq_tools.store.writer import create_dataset

COMMAND = str(Path(sys.executable).with_name("pggan"))
# 4x4 for 0.1 thousand images, 8x8 and 16x16 fade in for as many each.
SETTINGS = """
kimg = 0.4
stable_kimg = 0.1
fade_kimg = 0.1
batch = 8
batch_at = []
latent_size = 16
fmap_base = 128
fmap_max = 16
tick_kimg = 0.2
snapshot_kimg = 0.2
workers = 0
mirror = true
"""


def call(*arguments, code=0):
    done = CliRunner().invoke(pggan.main, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset of 40 images of 16x16 and a run of 400 images on it."""
    path = tmp_path_factory.mktemp("results")
    rng = np.random.default_rng(0)
    with create_dataset(path / "d.h5", height=16, width=16) as writer:
        for _ in range(40):
            coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            writer.append(np.asarray(Image.fromarray(coarse).resize((16, 16), Image.Resampling.BICUBIC)))
    (path / "run.toml").write_text(SETTINGS)
    call("train", "--data", path / "d.h5", "--config", path / "run.toml", "--run-dir", path / "run")
    return path


def test_generate_writes_every_kind_of_output_with_the_same_images(folder, tmp_path):
    outs = [tmp_path / name for name in ("g.png", "g.zip", "g.h5", "g")]
    output = call("generate", folder / "run", "--num", 10, "--columns", 5, *(f"--out={out}" for out in outs))
    assert "10 images of 16x16" in output and "img/s" in output
    grid = np.asarray(Image.open(outs[0]))
    assert grid.shape == (32, 80, 3)
    with DatasetReader(outs[2]) as reader:
        images = reader.read(slice(None))
    np.testing.assert_array_equal(grid[16:, 64:], images[9].transpose(1, 2, 0))
    np.testing.assert_array_equal(np.asarray(Image.open(outs[3] / "00000" / "img00000009.png")), grid[16:, 64:])


def test_generate_gives_the_same_files_for_any_batch_size_and_in_another_process(folder, tmp_path):
    call("generate", folder / "run", "--num", 70, "--out", tmp_path / "a.zip", "--batch-size", 64)
    done = subprocess.run(
        [COMMAND, "generate", folder / "run", "--num=70", "--out", tmp_path / "b.zip", "--batch-size=3"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_generate_without_variation_draws_one_image(folder, tmp_path):
    call("generate", folder / "run", "--num", 4, "--out", tmp_path / "g.h5", "--truncation", 0)
    with DatasetReader(tmp_path / "g.h5") as reader:
        images = reader.read(slice(None))
    assert (images == images[0]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "run", "--out", "g.png", "--class", "1"], "class 1: the network was trained without labels"),
        (["generate", "none", "--out", "g.png"], "none: no such file or folder"),
        (["generate", "run", "--out", "g.png", "--truncation", "-1"], "truncation -1.0: must be at least 0"),
        (["generate", "run", "--out", "run"], "run: exists already and holds something"),
        (["generate", "run", "--out", "a/g.png"], "the folder a does not exist"),
        (["generate", "run", "--out", "g.png", "--device", "abacus"], "device 'abacus' cannot be used"),
        (["video", "run", "--out", "v.avi"], "v.avi: end it in .mp4"),
        (["video", "run", "--out", "v.mp4", "--seconds", "1"], "take at least 3 s"),
    ],
)
def test_mistakes_get_a_message_and_exit_code_1(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert message in call(*arguments, code=1)
    assert sorted(folder.rglob("*")) == before


def test_video_films_the_run(folder, tmp_path):
    out = tmp_path / "v.mp4"
    output = call("video", folder / "run", "--out", out, "--seconds", 3, "--fps", 10, "--grid", "3x2")
    assert "30 frames of 384x256 at 10 Hz" in output
    assert out.stat().st_size > 1000


def test_a_grid_that_is_none_is_refused(folder, tmp_path):
    assert "is not COLUMNSxROWS" in call("video", folder / "run", "--out", tmp_path / "v.mp4", "--grid", "4", code=2)
