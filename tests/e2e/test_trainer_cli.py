"""The installed `pggan` command: help, presets, training, Ctrl-C, kill -9 at any moment, and its messages."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from celebahq_cli import pggan
from click.testing import CliRunner
from safetensors.torch import load_file

from celebahq_tools.store.writer import create_dataset
from pggan_core.losses import LOSSES
from pggan_core.presets import PRESETS, format_markdown

COMMAND = str(Path(sys.executable).with_name("pggan"))
# One thread: the networks are so small that a second one only waits.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SETTINGS = """
kimg = 0.4
stable_kimg = 0.08
fade_kimg = 0.08
batch = 8
batch_at = []
latent_size = 4
fmap_base = 16
fmap_max = 4
tick_kimg = 0.04
keep = 100
workers = 0
"""


def run(*arguments, cwd, check=None):
    done = subprocess.run([COMMAND, *map(str, arguments)], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)
    if check is not None:
        assert done.returncode == check, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pggan")
    rng = np.random.default_rng(0)
    with create_dataset(path / "d.h5", height=8, width=8) as writer:
        for _ in range(20):
            writer.append(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    (path / "run.toml").write_text(SETTINGS)
    return path


@pytest.fixture(scope="module")
def whole(folder):
    run("train", "--data", "d.h5", "--config", "run.toml", "--run-dir", "whole", cwd=folder, check=0)
    return read_last(folder / "whole")


def read_last(run_dir):
    return load_file(sorted((run_dir / "checkpoints").glob("*.safetensors"))[-1])


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert not [name for name in a if not torch.equal(a[name], b[name])]


def test_help_and_presets_answer_without_torch(folder):
    code = "import sys; from celebahq_cli.pggan import main\ntry: main({})\nfinally: assert 'torch' not in sys.modules"
    for arguments in (["--help"], ["train", "--help"], ["presets"], ["presets", "tiny"]):
        done = subprocess.run([sys.executable, "-c", code.format(arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_every_preset_is_listed(folder):
    listed = run("presets", cwd=folder, check=0).stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(PRESETS)


def test_choices_on_the_command_line_are_those_registered():
    assert set(pggan.LOSS_NAMES) == set(LOSSES)


def test_presets_page_is_up_to_date():
    assert (Path(__file__).parents[2] / "docs" / "presets.md").read_text() == format_markdown()


def test_dry_run_prints_settings_and_networks_and_trains_nothing(folder):
    done = run(
        "train", "--data", "d.h5", "--config", "run.toml", "--kimg", 7, "--dry-run", "--run-dir", "dry", cwd=folder
    )
    assert done.returncode == 0
    assert "kimg                     7.0" in done.stdout
    assert "20 images, 8x8, 3 channels" in done.stdout
    assert "parameters with all RGB layers" in done.stdout
    assert not (folder / "dry").exists()


def test_training_leaves_log_grids_curves_and_checkpoints(folder, whole):
    done = {path.name for path in (folder / "whole").iterdir()}
    assert done >= {"config.json", "log.jsonl", "training.png", "samples", "checkpoints", "tensorboard"}
    lines = [json.loads(line) for line in (folder / "whole" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["images"] == 400


def test_interrupted_run_exits_130_says_how_to_go_on_and_resumes_bit_for_bit(folder, whole):
    command = [COMMAND, "train", "--data", "d.h5", "--config", "run.toml", "--run-dir", "paused"]
    process = subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(folder / "paused" / "log.jsonl")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "pggan train --run-dir paused --resume auto" in output
    assert "Traceback" not in errors
    run("train", "--run-dir", "paused", "--resume", "auto", cwd=folder, check=0)
    assert_same(read_last(folder / "paused"), whole)


def test_run_killed_at_random_moments_resumes_bit_for_bit(folder, whole):
    rng = random.Random(7)
    command = [COMMAND, "train", "--data", "d.h5", "--config", "run.toml", "--run-dir", "killed", "--resume", "auto"]
    for _ in range(3):
        before = (folder / "killed" / "log.jsonl").stat().st_size if (folder / "killed" / "log.jsonl").exists() else 0
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(folder / "killed" / "log.jsonl", before, process)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.communicate()
    run(*command[1:], cwd=folder, check=0)
    assert_same(read_last(folder / "killed"), whole)
    assert not list((folder / "killed" / "checkpoints").glob("checkpoint-*.partial"))


def wait_for(path, size=0, process=None):
    """Wait until the log has grown: training has begun."""
    for _ in range(1200):
        if (path.exists() and path.stat().st_size > size) or (process is not None and process.poll() is not None):
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not grow within a minute")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "tiny"], "no dataset: pass --data FILE"),
        (["--data", "d.h5", "--preset", "celebahq"], "unknown preset 'celebahq'; did you mean 'celebahq-1024'?"),
        (["--data", "d.h5", "--preset", "celebahq-1024"], "pass --resolution 8 or a larger dataset"),
        (["--data", "nothing.h5"], "nothing.h5: no such file or folder"),
        (["--data", "d.h5", "--config", "bad.toml"], "unknown setting 'fmap_bas'; did you mean 'fmap_base'?"),
        (["--data", "d.h5", "--batch", "64"], "holds 20 images, fewer than a minibatch of 64"),
        (["--data", "d.h5", "--config", "run.toml", "--resume", "auto"], "name the run with --run-dir"),
        (["--data", "d.h5", "--config", "run.toml", "--resume", "no.safetensors"], "no such checkpoint"),
        (["--data", "d.h5", "--config", "run.toml", "--run-dir", "d.h5/run"], "cannot write the run folder"),
        (
            ["--data", "d.h5", "--config", "run.toml", "--device", "abacus", "--run-dir", "x"],
            "device 'abacus' cannot be used",
        ),
    ],
)
def test_mistakes_get_a_message_and_exit_code_1(folder, monkeypatch, arguments, message):
    # In this process: importing torch anew for each of them takes seconds.
    monkeypatch.chdir(folder)
    Path("bad.toml").write_text("fmap_bas = 3\n")
    done = CliRunner().invoke(pggan.main, ["train", *arguments])
    assert done.exit_code == 1
    assert message in done.output
    assert "Traceback" not in done.output


def test_a_mistake_on_the_installed_command_prints_no_traceback(folder):
    assert run("train", "--data", "nothing.h5", cwd=folder, check=1).stderr.startswith(
        "Error: nothing.h5: no such file"
    )


TORCHRUN = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "2", "--no-python"]


def start_two(folder, *arguments):
    """Start two processes as the docs say; they find a free port themselves."""
    command = [*TORCHRUN, COMMAND, "train", *arguments]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, **pipe)


def test_two_processes_stop_together_and_one_goes_on(folder, whole):
    process = start_two(folder, "--data", "d.h5", "--config", "run.toml", "--run-dir", "pair")
    wait_for(folder / "pair" / "log.jsonl", process=process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert "2 processes" in output
    assert "start all processes again with --run-dir pair --resume auto" in output, errors
    run("train", "--run-dir", "pair", "--resume", "auto", cwd=folder, check=0)
    # Fifty steps; the sums of two processes round differently, and Adam keeps the difference. Weights are of order 1.
    pair = read_last(folder / "pair")
    weights = [name for name in whole if name.split("/")[0] in ("generator", "discriminator", "average")]
    assert max(float((pair[name] - whole[name]).abs().max()) for name in weights) < 1e-3


def test_a_process_that_dies_ends_the_run_with_its_last_good_checkpoint(folder):
    process = start_two(folder, "--data", "d.h5", "--config", "run.toml", "--kimg", "400", "--run-dir", "torn")
    wait_for(folder / "torn" / "log.jsonl", process=process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "another process of the run ended or cannot be reached" in errors
    assert "the last good checkpoint is torn/checkpoints/checkpoint-" in errors
    assert "start all processes again with --resume auto" in errors


def test_a_mistake_is_reported_once_by_the_first_process(folder):
    process = start_two(folder, "--data", "nothing.h5", "--config", "run.toml", "--run-dir", "never")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.count("nothing.h5: no such file or folder") == 1
