"""`pggan` after training: a tiny run, and what is made of it with the commands as a user types them."""

import json
import shutil
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
from pggan_core.report import read_log

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
    scored = ["--metrics", "swd", "--every", 0.2, "--metric-images", 32]
    call("train", "--data", path / "d.h5", "--config", path / "run.toml", "--run-dir", path / "run", *scored)
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
        (["neighbors", "run", "--out", "n.png", "--crop", "big"], "crop 'big': give face, none, or"),
        (["neighbors", "run", "--out", "n.png", "--data", "none.h5"], "none.h5: no such file"),
        (["export", "run", "--out", "g.pkl"], "g.pkl: end it in .safetensors or .onnx"),
        (["export", "run", "--out", "g.onnx", "--resolution", "64"], "this generator has 4, 8, 16"),
        (["evaluate", "run", "--metrics", "swdd"], "unknown metric 'swdd'; did you mean 'swd'?"),
        (["evaluate", "d"], "d: holds no checkpoints"),
        (["import", "d.h5", "--out", "x"], "d.h5: "),
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


def test_evaluate_gives_the_scores_that_training_logged_and_scores_nothing_twice(folder, tmp_path):
    out = tmp_path / "scores.json"
    arguments = ["evaluate", folder / "run", "--num-images", 32, "--out", out]
    output = call(*arguments)
    logged = {
        line["images"]: line["SWDx1e3_avg"]
        for line in read_log(folder / "run" / "log.jsonl")
        if line["event"] == "score" and line["images"]
    }
    found = json.loads(out.read_text())["checkpoints"]
    # Single sums in other threads may round differently.
    assert {entry["images_shown"]: pytest.approx(entry["scores"]["SWDx1e3_avg"]) for entry in found.values()} == logged
    assert len(found) == 2
    assert output.splitlines()[0].split() == ["kimg", "SWDx1e3_16", "SWDx1e3_avg"]
    assert out.with_suffix(".png").stat().st_size > 5000
    # What is known is not computed again: a changed value stays, a missing one comes back.
    first, second = found
    content = json.loads(out.read_text())
    content["checkpoints"][first]["scores"]["SWDx1e3_avg"] = 123.0
    del content["checkpoints"][second]
    out.write_text(json.dumps(content))
    assert "123" in call(*arguments, "--no-plot")
    assert json.loads(out.read_text())["checkpoints"][second] == found[second]


def test_evaluate_takes_one_checkpoint_and_keeps_scores_of_other_settings_apart(folder, tmp_path):
    out = tmp_path / "scores.json"
    newest = sorted((folder / "run" / "checkpoints").iterdir())[-1]
    call("evaluate", newest, "--num-images", 16, "--out", out, "--no-plot")
    assert list(json.loads(out.read_text())["checkpoints"]) == [newest.name]
    output = call("evaluate", folder / "run", "--num-images", 17, "--out", out, code=1)
    assert "num_images 16 (now 17); name another --out" in output


def test_neighbors_of_training_images_are_themselves(folder, tmp_path):
    out = tmp_path / "n.png"
    arguments = ["--queries", folder / "d.h5", "--num", 6, "--features", "pixels", "--json", tmp_path / "n.json"]
    output = call("neighbors", folder / "run", *arguments, "--out", out)
    facts = json.loads((tmp_path / "n.json").read_text())
    assert [row[0] for row in facts["neighbors"]] == [
        {"index": index, "distance": 0.0, "mirrored": False} for index in range(6)
    ]
    assert facts["features"] == "pixels averaged to 32x32"
    assert "mirror images too; 40 images of d.h5" in output  # As the run was trained.
    assert Image.open(out).size[1] > 6 * 160


@pytest.mark.weights
def test_neighbors_by_inception_features_are_themselves_too(folder, tmp_path):
    with create_dataset(tmp_path / "few.h5", height=16, width=16) as writer, DatasetReader(folder / "d.h5") as reader:
        for image in reader.read(slice(0, 5)):
            writer.append(image.transpose(1, 2, 0))
    arguments = ["--data", tmp_path / "few.h5", "--queries", tmp_path / "few.h5", "--no-mirror", "--crop", "none"]
    call("neighbors", folder / "run", *arguments, "--json", tmp_path / "n.json", "--out", tmp_path / "n.png")
    facts = json.loads((tmp_path / "n.json").read_text())
    assert facts["features"] == "InceptionV3 pool3 features"
    for index, row in enumerate(facts["neighbors"]):
        assert row[0]["index"] == index
        # The net sees the queries and the dataset in the same batches here; other images are units away.
        assert row[0]["distance"] < 1e-3 < row[1]["distance"]


def test_neighbors_of_generated_images_are_found_and_drawn(folder, tmp_path):
    arguments = ["--num", 3, "--neighbors", 2, "--features", "pixels", "--crop", "0.1,0.1,0.9,0.9"]
    output = call("neighbors", folder / "run", *arguments, "--out", tmp_path / "n.png")
    assert [line.split(":")[0] for line in output.splitlines()[:3]] == ["query 0", "query 1", "query 2"]


def test_export_then_generate_draws_the_runs_images(folder, tmp_path):
    assert "generator of 16x16" in call("export", folder / "run", "--out", tmp_path / "g.safetensors")
    for network, name in ((folder / "run", "a.zip"), (tmp_path / "g.safetensors", "b.zip")):
        call("generate", network, "--num", 5, "--out", tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    call("export", folder / "run", "--out", tmp_path / "small.safetensors", "--resolution", 8)
    assert "of 8x8" in call("generate", tmp_path / "small.safetensors", "--out", tmp_path / "g.png")


def test_evaluate_passes_over_a_damaged_checkpoint_and_notices_one_that_was_written_anew(folder, tmp_path):
    run, out = shutil.copytree(folder / "run", tmp_path / "run"), tmp_path / "scores.json"
    arguments = ["evaluate", run, "--num-images", 16, "--out", out, "--no-plot"]
    call(*arguments)
    first, second = sorted((run / "checkpoints").iterdir())
    before = json.loads(out.read_text())["checkpoints"]
    shutil.copy(first, second)  # of another course of training: same name, other weights
    call(*arguments)
    after = json.loads(out.read_text())["checkpoints"]
    assert after[first.name] == before[first.name]
    assert after[second.name]["scores"] == before[first.name]["scores"] != before[second.name]["scores"]
    second.write_bytes(second.read_bytes()[:-100])
    output = call(*arguments)
    assert "damaged checkpoint" in output
    assert "passed over" in output
    first.write_bytes(b"x")
    assert "none of its 2 checkpoints can be read" in call(*arguments, code=1)


def test_a_new_run_goes_on_from_another_with_its_settings(folder, tmp_path):
    newest = sorted((folder / "run" / "checkpoints").iterdir())[-1]
    output = call("train", "--run-dir", tmp_path / "new", "--resume", newest, "--kimg", 0.48, "--metrics", "")
    assert "resumed" in output
    ours = json.loads((tmp_path / "new" / "config.json").read_text())
    theirs = json.loads((folder / "run" / "config.json").read_text())
    assert ours == {**theirs, "kimg": 0.48, "metrics": []}


def test_labels_of_an_older_file_go_when_unlabelled_images_take_its_name(folder, tmp_path):
    out = tmp_path / "g.h5"
    np.save(tmp_path / "g-labels.npy", np.ones((9, 4), np.float32))
    call("generate", folder / "run", "--num", 4, "--out", out)
    assert not (tmp_path / "g-labels.npy").exists()
    with DatasetReader(out) as reader:
        assert reader.labels is None


def test_the_same_output_twice_is_refused(folder, tmp_path):
    output = call("generate", folder / "run", "--num", 2, "--out", tmp_path / "g", "--out", tmp_path / "g", code=1)
    assert "named twice" in output
