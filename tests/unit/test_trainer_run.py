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


def test_going_on_from_an_older_checkpoint_sets_the_newer_ones_aside_and_keeps_the_new_work(tmp_path, config):
    config = replace(config, snapshot_kimg=0.016, keep=2)
    folder = tmp_path / "run"
    Trainer(replace(config, keep=9), folder).run()
    names = [path.name for path in list_checkpoints(folder / "checkpoints")]
    older = folder / "checkpoints" / names[3]
    said = []
    hooks = replace(stop_after(96), say=said.append)
    assert not Trainer(config, folder, hooks=hooks, resume=older).run()
    (note,) = [text for text in said if "were set aside in" in text]
    assert str(folder / "abandoned" / "001") in note
    aside = {path.name for path in (folder / "abandoned" / "001").glob("*.safetensors")}
    assert aside == {name for name in names if name > older.name}
    assert {path.name for path in (folder / "abandoned" / "001").glob("*.png")}
    newest = read_checkpoint(list_checkpoints(folder / "checkpoints")[-1])
    assert newest.progress["images_shown"] == 96
    assert Trainer(config, folder, resume="auto").run()
    Trainer(config, tmp_path / "whole").run()
    assert_same(read_last(folder), read_last(tmp_path / "whole"))


def test_what_a_killed_run_was_writing_is_removed(finished, config):
    for part in ("", "checkpoints", "samples"):
        (finished / part / ".checkpoint-00000000064.x.partial").write_bytes(b"half")
    Trainer(replace(config, kimg=0.064), finished, resume="auto").run()
    assert not list(finished.rglob("*.partial"))


def test_scores_that_were_due_when_a_run_was_killed_are_made_up_for(tmp_path, config):
    def fail(snapshot):
        if snapshot.images_shown:
            raise KeyboardInterrupt
        return {"metric": 0.0}

    config = replace(config, kimg=0.064, every=0.032, snapshot_kimg=0.016, tick_kimg=0.016)
    folder = tmp_path / "run"
    for due in (32, 64):
        with pytest.raises(KeyboardInterrupt):
            Trainer(config, folder, hooks=Hooks(on_snapshot=fail), resume=None if due == 32 else "auto").run()
        hooks = replace(stop_after(due + 8), on_snapshot=lambda snapshot: {"metric": float(snapshot.images_shown)})
        Trainer(config, folder, hooks=hooks, resume="auto").run()
        scored = [line["metric"] for line in read_log(folder / "log.jsonl") if line["event"] == "score"]
        assert scored == [float(images) for images in range(0, due + 1, 32)]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", -1),
        ("seed", 2**63),
        ("kimg", float("inf")),
        ("fade_kimg", float("nan")),
        ("discrimination_kernels", -1),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(config, setting, value):
    with pytest.raises(ConfigError, match=setting):
        replace(config, **{setting: value})
