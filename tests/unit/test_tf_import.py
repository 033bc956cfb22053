"""Import of the released TensorFlow program's pickles, built here in their form from the golden weights."""

import math
import pickle

import numpy as np
import pytest
import torch
from celebahq_cli import pggan
from click.testing import CliRunner

from celebahq_tools.errors import InputError
from celebahq_tools.store.writer import create_dataset
from pggan_core.architecture import NetworkConfig
from pggan_core.checkpoint import read_checkpoint
from pggan_core.drawing import Drawer
from pggan_core.generator_file import open_generator
from pggan_core.networks import Discriminator, Generator
from pggan_core.passive_objects import PickleRefusedError
from pggan_core.tf_import import read_networks, to_generator, write_run

from .released_pickles import SETTINGS, dump_networks, load_golden, make_state

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def golden():
    return load_golden()


def write(path, golden, *, lod=0.0, **how):
    letters = how.pop("letters", "GDG")
    path.write_bytes(dump_networks([make_state(golden, letter, lod=lod) for letter in letters], **how))
    return path


def assert_close(got, expected, what):
    # The golden networks' own tolerance: float32 sums in another order.
    assert got.shape == expected.shape, what
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max(), what


def test_shape_of_the_networks_is_read_from_the_file(tmp_path, golden):
    networks = read_networks(write(tmp_path / "n.pkl", golden))
    expected = NetworkConfig(levels=2, labels=3, latent_size=32, fmap_base=128, fmap_max=32, stddev="groups")
    assert (networks.config, networks.lod) == (expected, 0.0)


@pytest.mark.parametrize(
    "how",
    [
        {"protocol": 4},
        {"protocol": 2},
        {"protocol": 3},
        {"protocol": 4, "old": False},
        {"protocol": 5, "old": False},
        {"protocol": 4, "module": "dnnlib.tflib.network"},
    ],
    ids=str,
)
def test_imported_networks_draw_and_judge_as_the_original_did(tmp_path, golden, how):
    networks = read_networks(write(tmp_path / "n.pkl", golden, **how))
    generator, discriminator = Generator(networks.config), Discriminator(networks.config)
    generator.load_state_dict(networks.average)
    discriminator.load_state_dict(networks.discriminator)
    latents, labels = torch.from_numpy(golden["z"]), torch.from_numpy(golden["labels"])
    for lod in ("0.00", "0.30", "1.00", "1.75", "2.00"):
        missing = math.floor(float(lod))
        place = {"level": 2 - missing, "alpha": 1 - (float(lod) - missing)}
        with torch.no_grad():
            images = generator(latents, labels, **place).numpy()
            reals = torch.nn.functional.avg_pool2d(torch.from_numpy(golden["reals"]), 2**missing)
            scores, logits = discriminator(reals, **place)
        full = images.repeat(2**missing, 2).repeat(2**missing, 3)
        assert_close(full, golden[f"lod{lod}/images"], f"images at lod {lod}")
        assert_close(scores[:, None].numpy(), golden[f"lod{lod}/d_scores"], f"scores at lod {lod}")
        assert_close(logits.numpy(), golden[f"lod{lod}/d_labels"], f"label logits at lod {lod}")


def test_networks_without_folded_resizing_are_the_same_functions(tmp_path, golden):
    """The program's other form: upscaling layers with their kernel the usual way round."""
    state = make_state(golden, "G")
    state["variables"] = [
        (name.replace("Conv0_up", "Conv0"), value[::-1, ::-1].transpose(0, 1, 3, 2) if "_up/weight" in name else value)
        for name, value in state["variables"]
    ]
    (tmp_path / "n.pkl").write_bytes(dump_networks([state], bare=True))
    write(tmp_path / "folded.pkl", golden, letters="G", bare=True)
    plain, folded = read_networks(tmp_path / "n.pkl"), read_networks(tmp_path / "folded.pkl")
    assert plain.config == folded.config
    assert all(torch.equal(plain.average[name], value) for name, value in folded.average.items())


def test_discriminator_without_folding_averages_after_the_activation(tmp_path, golden):
    state = make_state(golden, "D")
    state["variables"] = [(name.replace("Conv1_down", "Conv1"), value) for name, value in state["variables"]]
    (tmp_path / "n.pkl").write_bytes(dump_networks([make_state(golden, "G"), state]))
    networks = read_networks(tmp_path / "n.pkl")
    assert not networks.config.fused_downscale
    assert networks.discriminator is not None and "convs.0.1.weight" in networks.discriminator


@pytest.mark.parametrize(("lod", "level", "alpha"), [(0.0, 2, 1.0), (0.25, 2, 0.75), (1.0, 1, 1.0), (2.0, 0, 1.0)])
def test_the_run_stands_where_the_file_says(tmp_path, golden, lod, level, alpha):
    networks = read_networks(write(tmp_path / "n.pkl", golden, lod=lod))
    write_run(networks, tmp_path / "run")
    for found in (open_generator(tmp_path / "run"), to_generator(networks)):
        assert found.level == level
        assert found.alpha == pytest.approx(alpha, abs=1e-5)


def call(*arguments, code=0):
    done = CliRunner().invoke(pggan.main, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_import_then_generate_draws_the_originals_pixels(tmp_path, golden):
    write(tmp_path / "n.pkl", golden)
    assert "16x16, 3 labels, lod 0" in call("import", tmp_path / "n.pkl", "--out", tmp_path / "g.safetensors")
    call("generate", tmp_path / "g.safetensors", "--num", 6, "--out", tmp_path / "grid.png")
    drawer = Drawer(open_generator(tmp_path / "g.safetensors"), device=torch.device("cpu"))
    pixels = drawer.draw(golden["z"], golden["labels"].argmax(axis=1))
    expected = ((golden["lod0.00/images"] + 1) * 127.5).round().clip(0, 255)
    # Rounding may go the other way after sums in another order.
    assert np.abs(pixels.astype(float) - expected).max() <= 1


def test_import_then_train_goes_on_from_the_imported_weights(tmp_path, golden):
    rng = np.random.default_rng(0)
    with create_dataset(tmp_path / "d.h5", height=16, width=16) as writer:
        for _ in range(16):
            writer.append(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    np.save(tmp_path / "d-labels.npy", np.eye(3, dtype=np.float32)[np.arange(16) % 3])
    write(tmp_path / "n.pkl", golden)
    assert "--resume auto" in call("import", tmp_path / "n.pkl", "--out", tmp_path / "run")
    start = open_generator(tmp_path / "run")
    more = start.images_shown / 1000 + 0.016
    arguments = ["train", "--run-dir", tmp_path / "run", "--resume", "auto", "--data", tmp_path / "d.h5"]
    call(*arguments, "--kimg", more, "--batch", 8)
    trained = open_generator(tmp_path / "run")
    assert trained.images_shown == start.images_shown + 16
    # Two steps of Adam at a learning rate of 0.001, averaged with a decay of 0.999: close to where it began, not there.
    before, after = start.network.state_dict(), trained.network.state_dict()
    changes = {name: (after[name] - before[name]).abs().max().item() for name in before}
    assert 0 < max(changes.values()) < 1e-4


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path, golden):
    networks = read_networks(write(tmp_path / "n.pkl", golden))
    path = write_run(networks, tmp_path / "run")
    stored = read_checkpoint(path)
    with pytest.raises(InputError, match="holds a run already"):
        write_run(networks, tmp_path / "run")
    assert stored.network == networks.config


def test_a_generator_alone_can_be_drawn_but_not_trained(tmp_path, golden):
    write(tmp_path / "n.pkl", golden, letters="G", bare=True)
    output = call("import", tmp_path / "n.pkl", "--out", tmp_path / "run", code=1)
    assert "holds no discriminator" in output
    call("import", tmp_path / "n.pkl", "--out", tmp_path / "g.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["static_kwargs"].update(use_pixelnorm=False), "use_pixelnorm = False, which is not supported"),
        (lambda s: s["static_kwargs"].update(fmap_max="many"), "no whole numbers"),
        (lambda s: s["static_kwargs"].update(fmap_base=64), "has shape"),
        (lambda s: s["static_kwargs"].update(fmap_base=1), "impossible shape"),
        (lambda s: s["variables"].pop(1), "lacks the variable|lacks 4x4/Dense"),
        (lambda s: s["variables"].append(("8x8/Noise", np.zeros(2, np.float32))), "such as 8x8/Noise"),
        (lambda s: s["variables"].append(s["variables"][1]), "comes twice"),
        (lambda s: s["variables"].append(("x", "text")), "no pair of a name and an array"),
        (lambda s: s.pop("variables"), "files of the Theano program are not understood"),
        (lambda s: s["variables"].__setitem__(0, ("lod", np.float32("nan"))), "lod nan"),
    ],
)
def test_networks_that_ours_cannot_stand_for_are_refused(tmp_path, golden, change, message):
    state = make_state(golden, "G")
    change(state)
    (tmp_path / "n.pkl").write_bytes(dump_networks([state], bare=True))
    with pytest.raises(InputError, match=message):
        read_networks(tmp_path / "n.pkl")


def test_plain_data_holds_no_networks(tmp_path, golden):
    for value in ([], (1, 2), {"a": 1}, None):
        (tmp_path / "n.pkl").write_bytes(pickle.dumps(value))
        with pytest.raises(InputError, match="holds no networks"):
            read_networks(tmp_path / "n.pkl")
    write(tmp_path / "n.pkl", golden, letters="D", bare=True)
    with pytest.raises(InputError, match="holds no generator"):
        read_networks(tmp_path / "n.pkl")


def test_foreign_objects_inside_a_network_are_refused(tmp_path, golden):
    state = make_state(golden, "G", settings={**SETTINGS, "func": print})
    (tmp_path / "n.pkl").write_bytes(dump_networks([state], bare=True))
    with pytest.raises(PickleRefusedError, match=r"asks for builtins\.print"):
        read_networks(tmp_path / "n.pkl")
