"""`pggan train --metrics`: the trainer's snapshots reach the metrics, and the scores reach the log."""

import numpy as np
from celebahq_cli import pggan
from click.testing import CliRunner
from gan_metrics import METRICS

from celebahq_tools.store.writer import create_dataset
from pggan_core.report import read_log


def test_metric_names_in_the_help_are_those_registered():
    assert set(pggan.METRIC_NAMES) == set(METRICS)


def test_scores_are_logged_at_the_start_at_every_interval_and_at_the_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with create_dataset(tmp_path / "d.h5", height=16, width=16) as writer:
        for _ in range(40):
            writer.append(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    (tmp_path / "run.toml").write_text(
        "kimg = 0.05\nstable_kimg = 0.016\nfade_kimg = 0.016\nbatch = 8\nbatch_at = []\nlatent_size = 4\n"
        "fmap_base = 32\nfmap_max = 4\nworkers = 0\n"
    )
    arguments = ["train", "--data", "d.h5", "--config", "run.toml", "--run-dir", "run", "--metrics", "swd"]
    done = CliRunner().invoke(pggan.main, [*arguments, "--every", "0.03", "--metric-images", "32"])
    assert done.exit_code == 0, done.output
    scores = [line for line in read_log(tmp_path / "run" / "log.jsonl") if line["event"] == "score"]
    assert [line["images"] for line in scores] == [0, 32, 56]
    assert all(line["SWDx1e3_avg"] > 0 for line in scores)
    assert (tmp_path / "run" / "training.png").exists()


def test_unknown_metric_is_refused_with_the_nearest_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with create_dataset(tmp_path / "d.h5", height=16, width=16) as writer:
        for _ in range(16):
            writer.append(np.zeros((16, 16, 3), np.uint8))
    arguments = ["train", "--data", "d.h5", "--preset", "tiny", "--resolution", "16", "--metrics", "swdd"]
    done = CliRunner().invoke(pggan.main, arguments)
    assert done.exit_code == 1
    assert "unknown metric 'swdd'; did you mean 'swd'?" in done.output


def train(folder, channels, *arguments, code=0):
    """Return the output of a run of 56 images on a dataset of 40 of 16x16."""
    rng = np.random.default_rng(0)
    with create_dataset(folder / "d.h5", height=16, width=16, channels=channels) as writer:
        for _ in range(40):
            writer.append(rng.integers(0, 256, (16, 16, channels), dtype=np.uint8))
    (folder / "run.toml").write_text(
        "kimg = 0.05\nstable_kimg = 0.016\nfade_kimg = 0.016\nbatch = 8\nbatch_at = []\nlatent_size = 4\n"
        "fmap_base = 32\nfmap_max = 4\nworkers = 0\n"
    )
    command = ["train", "--data", str(folder / "d.h5"), "--config", str(folder / "run.toml"), *arguments]
    done = CliRunner().invoke(pggan.main, [*command, "--run-dir", str(folder / "run"), "--metrics", "swd,ms-ssim"])
    assert done.exit_code == code, done.output
    return done.output


def test_grey_images_are_scored_as_three_equal_channels(tmp_path):
    train(tmp_path, 1)
    scores = [line for line in read_log(tmp_path / "run" / "log.jsonl") if line["event"] == "score"]
    assert [line["images"] for line in scores] == [0, 56]
    done = CliRunner().invoke(pggan.main, ["evaluate", str(tmp_path / "run"), "--no-plot"])
    assert done.exit_code == 0, done.output


def test_more_images_than_the_dataset_has_are_refused_before_training(tmp_path):
    output = train(tmp_path, 3, "--metric-images", "41", code=1)
    assert "41 images per score, but the dataset holds 40; lower --metric-images" in output
