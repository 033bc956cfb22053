"""ONNX files run in onnxruntime give torch's images, for every kind of network and any batch."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from celebahq_cli import pggan
from click.testing import CliRunner

from celebahq_tools.errors import ConfigError
from pggan_core.architecture import NetworkConfig
from pggan_core.generator_file import TrainedGenerator, choose_level, write_generator
from pggan_core.networks import Generator
from pggan_core.onnx_export import TOLERANCE, PlainGenerator, compare_onnx, write_onnx

torch.set_num_threads(1)
NETWORK = NetworkConfig(levels=2, latent_size=16, fmap_base=128, fmap_max=32)

KINDS = [
    {},
    {"alpha": 0.4},
    {"level": 0, "normalize_latents": False},
    {"g_norm": "batch", "g_activation": "relu", "g_tanh": True, "equalized": False, "base_height": 5},
    {"convs_per_block": 1, "channels": 1},
]


def make(tmp_path, *, level=2, alpha=1.0, **changes):
    torch.manual_seed(0)
    network = Generator(replace(NETWORK, **changes)).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.normal_(0, 0.3)
    for name, buffer in network.named_buffers():  # Statistics of batch normalisation, as after training.
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return TrainedGenerator(network, level, alpha, 5000, tmp_path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """One export serves all tests that look at the file: it takes the exporter seconds. A fading, labelled network."""
    folder = tmp_path_factory.mktemp("onnx")
    trained = make(folder, alpha=0.3, labels=3)
    write_generator(folder / "g.safetensors", trained)
    (folder / "out").mkdir()
    path = folder / "out" / "g.onnx"
    done = CliRunner().invoke(pggan.main, ["export", str(folder / "g.safetensors"), "--out", str(path)])
    assert done.exit_code == 0, done.output
    assert "generator of 16x16" in done.output and "onnxruntime's images differ by at most" in done.output
    return path, trained


@pytest.mark.parametrize("count", [1, 2, 65])
def test_onnxruntime_draws_torchs_images_for_any_batch(exported, count):
    path, trained = exported
    difference = compare_onnx(path, trained, count=count, seed=count)
    assert difference is not None and difference < TOLERANCE


def test_the_file_is_valid_and_alone(exported):
    onnx.checker.check_model(exported[0], full_check=True)
    assert [path.name for path in exported[0].parent.iterdir()] == ["g.onnx"]


def test_the_comparison_sees_a_difference(exported):
    path, trained = exported
    changed = make(path.parent, alpha=0.3, labels=3)
    changed.network.to_rgb[2].bias += 0.01
    assert compare_onnx(path, changed) > 20 * TOLERANCE
    assert compare_onnx(path, trained) < TOLERANCE


def test_the_file_says_what_goes_in_and_how_pixels_come_out(exported):
    session = onnxruntime.InferenceSession(exported[0], providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape[1:]) for i in session.get_inputs()] == [("latents", [16]), ("labels", [3])]
    assert [(o.name, o.shape[1:]) for o in session.get_outputs()] == [("images", [3, 16, 16])]
    facts = json.loads(session.get_modelmeta().custom_metadata_map["pggan"])
    assert facts == {
        "latent_size": 16,
        "labels": 3,
        "image": [3, 16, 16],
        "pixels": "clip(round((x + 1) * 127.5), 0, 255)",
        "images_shown": 5000,
    }


@pytest.mark.long  # Seconds of the exporter for each.
@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_every_kind_of_network_can_be_exported(tmp_path, changes):
    trained = make(tmp_path, **changes)
    write_onnx(tmp_path / "g.onnx", trained)
    assert compare_onnx(tmp_path / "g.onnx", trained, count=3) < TOLERANCE


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_the_plain_form_is_the_same_function(tmp_path, changes):
    """Against the network itself at a batch where it folds its resizing, which the plain form never does."""
    trained = make(tmp_path, **changes)
    latents = [torch.randn(64, 16)]
    expected = trained.network(*latents, level=trained.level, alpha=trained.alpha)
    np.testing.assert_allclose(PlainGenerator(trained)(*latents), expected, atol=2e-5)


def test_a_smaller_resolution_can_be_chosen_and_a_larger_one_not(tmp_path):
    trained = make(tmp_path, alpha=0.4)
    assert (choose_level(trained, 8).level, choose_level(trained, 8).alpha) == (1, 1.0)
    assert choose_level(trained, 16).alpha == 0.4
    with pytest.raises(ConfigError, match="this generator has 4, 8, 16"):
        choose_level(trained, 32)
    with pytest.raises(ConfigError, match=r"this generator has 4, 8$"):
        choose_level(replace(trained, level=1), 16)
