"""Whole runs with tiny networks: resuming, damage, divergence, and every kind of configuration."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from celebahq_tools.errors import ConfigError, InputError, StoreError
from celebahq_tools.folder_lock import lock_folder
from celebahq_tools.tensor_file import list_checkpoints
from pggan_core.checkpoint import load_generator, read_checkpoint
from pggan_core.report import read_log
from pggan_core.trainer import Hooks, Trainer, TrainingDivergedError

from .tiny_runs import make_config, write_noise

torch.set_num_threads(1)  # Small tensors: a second thread only waits.


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_noise(tmp_path_factory.mktemp("data") / "d.h5")


@pytest.fixture
def config(data):
    return make_config(data, mirror=True)


def stop_after(images):
    shown = []
    return Hooks(on_step=lambda progress: shown.append(progress.images_shown), should_stop=lambda: shown[-1] >= images)


def read_last(folder):
    return load_file(list_checkpoints(folder / "checkpoints")[-1])


def assert_same(a, b):
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different


def test_a_folder_that_is_trained_in_is_refused(tmp_path, config):
    folder = tmp_path / "run"
    waiting = Trainer(config, folder)
    message = "another training is running in it; wait for it, or pass another --run-dir"
    held = lock_folder(folder, what="training", option="--run-dir")
    with held, pytest.raises(ConfigError, match=message):
        waiting.run()
    assert not (folder / "log.jsonl").exists()
    assert Trainer(config, folder).run()


@pytest.mark.parametrize("stop", [40, 64, 72, 96, 136])
def test_resumed_run_is_bit_identical_also_across_a_change_of_phase(tmp_path, config, stop):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert Trainer(config, whole).run()
    assert not Trainer(config, parts, hooks=stop_after(stop)).run()
    resumed = Trainer(config, parts, resume="auto")
    assert resumed.images_shown == stop
    assert resumed.run()
    assert_same(read_last(whole), read_last(parts))


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "lsgan"},
        {"loss": "hinge"},
        {"loss": "logistic-r1"},
        {"conditional": True},
        {"n_critic": 2, "share_latents": False},
        {"joint_update": True, "penalty_target": 750.0},
        {
            "g_norm": "batch",
            "g_activation": "relu",
            "g_tanh": True,
            "d_norm": "layer",
            "equalized": False,
            "stddev": "none",
        },
        {"discrimination_kernels": 3, "stddev": "none"},
        {"convs_per_block": 1, "g_norm": "batch", "d_norm": "batch", "stddev": "none", "grow": False},
        {"full_resolution_penalty": True, "stddev": "groups", "fused_downscale": False},
        {"precision": "bf16"},
    ],
    ids=lambda changes: "-".join(f"{k}={v}" for k, v in changes.items()),
)
def test_every_kind_of_run_trains_and_resumes_bit_for_bit(tmp_path, config, changes):
    config = replace(config, kimg=0.096, tick_kimg=0.096, **changes)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Trainer(config, whole).run()
    Trainer(config, parts, hooks=stop_after(48)).run()
    Trainer(config, parts, resume="auto").run()
    assert_same(read_last(whole), read_last(parts))
    assert all(tensor.float().isfinite().all() for tensor in read_last(whole).values())
    assert all(line["skipped"] == 0 for line in read_log(whole / "log.jsonl"))


def test_same_seed_gives_the_same_run_and_another_seed_another(tmp_path, config):
    config = replace(config, kimg=0.032)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        Trainer(replace(config, seed=seed), tmp_path / name).run()
    assert_same(read_last(tmp_path / "a"), read_last(tmp_path / "b"))
    assert not torch.equal(
        read_last(tmp_path / "a")["generator/project.weight"], read_last(tmp_path / "c")["generator/project.weight"]
    )


def test_run_folder_holds_log_grids_curves_and_event_files(tmp_path, config):
    scores = []

    def score(snapshot):
        batches = list(snapshot.draw(70))
        assert [len(batch) for batch in batches] == [64, 6]
        assert batches[0].shape[1:] == (3, 8, 8) and batches[0].dtype == np.uint8
        assert sum(map(len, snapshot.reals(5))) == 5
        scores.append(snapshot.images_shown)
        return {"SWDx1e3_avg": 1.0}

    Trainer(replace(config, every=0.08, snapshot_kimg=0.08), tmp_path / "run", hooks=Hooks(on_snapshot=score)).run()
    assert scores == [0, 80, 160]
    lines = read_log(tmp_path / "run" / "log.jsonl")
    ticks = [line for line in lines if line["event"] == "tick"]
    assert [tick["images"] for tick in ticks] == list(range(16, 161, 16))
    assert [tick["resolution"] for tick in ticks] == [4] * 4 + [8] * 6
    assert [line["SWDx1e3_avg"] for line in lines if line["event"] == "score"] == [1.0] * 3
    assert (tmp_path / "run" / "training.png").stat().st_size > 1000
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    assert (tmp_path / "run" / "samples" / "reals.png").exists()
    assert len(list((tmp_path / "run" / "samples").glob("fakes-*.png"))) == 3


def test_missing_tensorboard_is_said_and_training_goes_on(tmp_path, config, monkeypatch):
    import builtins

    real_import = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.startswith("torch.utils.tensorboard"):
            raise ModuleNotFoundError(name)
        return real_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    said = []
    assert Trainer(replace(config, kimg=0.016), tmp_path / "run", hooks=Hooks(say=said.append)).run()
    assert any("TensorBoard is not installed" in text for text in said)
    assert read_log(tmp_path / "run" / "log.jsonl")


def test_only_the_newest_checkpoints_are_kept(tmp_path, config):
    Trainer(replace(config, keep=2, snapshot_kimg=0.048), tmp_path / "run").run()
    kept = [path.stem for path in list_checkpoints(tmp_path / "run" / "checkpoints")]
    assert kept == ["checkpoint-00000000144", "checkpoint-00000000160"]


def test_average_of_the_generator_can_be_loaded_from_a_checkpoint(tmp_path, config):
    trainer = Trainer(config, tmp_path / "run")
    trainer.run()
    generator = load_generator(list_checkpoints(tmp_path / "run" / "checkpoints")[-1])
    latents = torch.randn(2, 4)
    expected = trainer.stepper.average(latents, level=1)
    assert torch.equal(generator(latents, level=1), expected)


def test_a_non_finite_gradient_skips_the_step_and_is_counted(tmp_path, config):
    trainer = Trainer(config, tmp_path / "run")
    before = trainer.stepper.discriminator.score.weight.clone()
    average = trainer.stepper.average.project.weight.clone()
    trainer.stepper.loss.generator = lambda fake: fake * float("nan")
    trainer.hooks = stop_after(8)
    trainer.run()
    assert trainer.skipped == 1
    assert not torch.equal(trainer.stepper.discriminator.score.weight, before)
    assert torch.equal(trainer.stepper.average.project.weight, average)


def test_divergence_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, config):
    config = replace(config, max_skipped=5, snapshot_kimg=0.032)

    def spoil(progress):
        if progress.images_shown == 64:
            trainer.stepper.loss.discriminator = lambda real, fake: real * float("inf")

    trainer = Trainer(config, tmp_path / "run", hooks=Hooks(on_step=spoil))
    with pytest.raises(TrainingDivergedError, match=r"5 steps in a row; the last good checkpoint is .*00064\.safet"):
        trainer.run()
    good = read_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1])
    assert good.progress["images_shown"] == 64
    assert all(tensor.float().isfinite().all() for tensor in good.tensors.values())


@pytest.fixture
def finished(tmp_path, config):
    Trainer(replace(config, kimg=0.048, snapshot_kimg=0.016), tmp_path / "run").run()
    return tmp_path / "run"


def test_existing_run_is_not_overwritten(finished, config):
    with pytest.raises(InputError, match=r"holds a run already.*--resume auto"):
        Trainer(config, finished)


def test_checkpoint_of_another_architecture_is_refused_with_the_differences(finished, config):
    with pytest.raises(StoreError, match=r"another architecture: .*fmap_max 4 \(this run: 3\)"):
        Trainer(replace(config, fmap_max=3), finished, resume="auto")


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damaged_checkpoint_is_refused_by_name_and_passed_over_by_auto(finished, config, damage):
    newest = list_checkpoints(finished / "checkpoints")[-1]
    content = bytearray(newest.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[-100] ^= 1
    else:
        content = bytearray()
    newest.write_bytes(content)
    with pytest.raises(StoreError, match="damaged checkpoint"):
        Trainer(config, finished, resume=newest)
    said = []
    trainer = Trainer(config, finished, resume="auto", hooks=Hooks(say=said.append))
    assert trainer.images_shown == 32
    assert any("trying the one before" in text for text in said)


def test_safetensors_file_of_something_else_is_refused(tmp_path, config):
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(StoreError, match="not a checkpoint of `pggan train`"):
        Trainer(config, tmp_path / "run", resume=tmp_path / "other.safetensors")


def test_unwritable_run_folder_is_refused(tmp_path, config):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the run folder"):
        Trainer(config, tmp_path / "file" / "run")


def test_log_lines_after_the_checkpoint_are_dropped_on_resume(finished, config):
    with (finished / "log.jsonl").open("a") as file:
        file.write(json.dumps({"event": "tick", "images": 999}) + '\n{"event": "ti')
    shutil.rmtree(finished / "tensorboard")
    Trainer(replace(config, kimg=0.064), finished, resume="auto").run()
    assert [line["images"] for line in read_log(finished / "log.jsonl")] == [16, 32, 48, 64]
