"""Drawing: an image is a function of network, seed and number, to the bit; truncation; files the generator lies in."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from celebahq_tools.config import config_to_json
from celebahq_tools.errors import ConfigError, InputError, StoreError
from pggan_core.architecture import NetworkConfig
from pggan_core.checkpoint import Checkpoint, write_checkpoint
from pggan_core.config import TrainConfig
from pggan_core.drawing import Drawer, choose_classes, draw_images, draw_latent
from pggan_core.generator_file import TrainedGenerator, open_generator, write_generator
from pggan_core.networks import Generator
from pggan_core.sampling import to_pixels

torch.set_num_threads(1)  # Small tensors: a second thread only waits.
CPU = torch.device("cpu")
NETWORK = NetworkConfig(levels=3, latent_size=16, fmap_base=256, fmap_max=32)


def make_generator(tmp_path, network=NETWORK, *, level=None, alpha=1.0):
    torch.manual_seed(0)
    generator = Generator(network).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("bias"):  # As after training.
            parameter.normal_(0, 0.3)
    return TrainedGenerator(generator, network.levels if level is None else level, alpha, 1000, tmp_path / "none")


def draw_all(trained, count, **settings):
    return np.concatenate(list(draw_images(Drawer(trained, device=CPU), count, **{"seed": 5, **settings})))


@pytest.fixture
def trained(tmp_path):
    return make_generator(tmp_path)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 100, 1000])
def test_images_are_the_same_to_the_bit_for_any_batch_size(trained, batch_size):
    batches = list(draw_images(Drawer(trained, device=CPU), 150, seed=5, batch_size=batch_size))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    np.testing.assert_array_equal(np.concatenate(batches), draw_all(trained, 150))


def test_an_image_does_not_depend_on_how_many_are_drawn(trained):
    np.testing.assert_array_equal(draw_all(trained, 3), draw_all(trained, 150)[:3])


def test_plain_batches_would_not_have_given_the_same_floats(trained):
    """The reason for the fixed blocks; if this fails, they may be given up."""
    latents = torch.from_numpy(np.stack([draw_latent(5, index, 16) for index in range(64)]))
    together = trained.network(latents, level=3)
    singly = torch.cat([trained.network(latents[i : i + 1], level=3) for i in range(64)])
    assert not torch.equal(together, singly)


def test_another_seed_gives_other_images(trained):
    assert not np.array_equal(draw_all(trained, 4), draw_all(trained, 4, seed=6))


def test_drawn_pixels_are_the_networks_own_images(trained):
    latents = torch.from_numpy(np.stack([draw_latent(5, index, 16) for index in range(5)]))
    # One grey level: sums in another order may round the other way.
    expected = to_pixels(trained.network(latents, level=3)).astype(int)
    assert np.abs(draw_all(trained, 5).astype(int) - expected).max() <= 1


def test_a_run_that_was_still_growing_is_drawn_where_it_stood(tmp_path):
    trained = make_generator(tmp_path, level=2, alpha=0.25)
    latents = torch.from_numpy(draw_latent(5, 0, 16)[None])
    expected = to_pixels(trained.network(latents, level=2, alpha=0.25)).astype(int)
    images = draw_all(trained, 1)
    assert images.shape == (1, 3, 16, 16)
    assert np.abs(images.astype(int) - expected).max() <= 1


def test_latents_are_standard_normal_and_differ_between_seeds_and_numbers():
    latents = np.stack([draw_latent(seed, index, 512) for seed in range(10) for index in range(20)])
    assert latents.dtype == np.float32
    # 102,400 draws: standard errors are 0.003 and 0.002.
    assert abs(latents.mean()) < 0.015
    assert abs(latents.std() - 1) < 0.01
    assert len(np.unique(latents[:, 0])) == 200


def spread(images):
    return images.astype(float).std(axis=0).mean()


def test_truncation_shrinks_variation_down_to_one_image(trained):
    def draw(psi):
        return np.concatenate(list(draw_images(Drawer(trained, device=CPU, psi=psi), 70, seed=5)))

    all_of_it, half, none = draw(1.0), draw(0.5), draw(0.0)
    assert spread(half) < 0.9 * spread(all_of_it)
    assert spread(none) == 0
    np.testing.assert_array_equal(all_of_it, draw_all(trained, 70))


def test_truncation_moves_features_towards_their_mean(trained):
    """Against the definition, with a mean of latents of our own: 20,000 draws agree with 4096 to their error."""
    network = trained.network
    latents = torch.from_numpy(np.stack([draw_latent(5, index, 16) for index in range(8)]))
    mean = network.embed(torch.randn(20000, 16, generator=torch.Generator().manual_seed(1))).mean(dim=0)
    expected = network.synthesize(mean + 0.7 * (network.embed(latents) - mean), level=3)
    got = next(draw_images(Drawer(trained, device=CPU, psi=0.7), 8, seed=5))
    assert np.abs(got - to_pixels(expected).astype(float)).mean() < 1.0


@pytest.mark.parametrize("psi", [-0.1, float("nan"), float("inf")])
def test_impossible_truncation_is_refused(trained, psi):
    with pytest.raises(ConfigError, match="truncation"):
        Drawer(trained, device=CPU, psi=psi)


def test_classes_take_turns_or_are_the_one_wanted(tmp_path):
    trained = make_generator(tmp_path, replace(NETWORK, labels=3))
    assert choose_classes(3, range(2, 7)).tolist() == [2, 0, 1, 2, 0]
    turns, second = draw_all(trained, 70), draw_all(trained, 70, wanted_class=1)
    np.testing.assert_array_equal(turns[1::3], second[1::3])
    assert not np.array_equal(turns[0], second[0])
    truncated = np.concatenate(list(draw_images(Drawer(trained, device=CPU, psi=0.0), 6, seed=5)))
    # Each class has its own mean.
    np.testing.assert_array_equal(truncated[:3], truncated[3:])
    assert not np.array_equal(truncated[0], truncated[1])


@pytest.mark.parametrize(("labels", "wanted"), [(0, 0), (3, 3), (3, -1)])
def test_unknown_class_is_refused(labels, wanted):
    with pytest.raises(ConfigError, match=f"class {wanted}"):
        choose_classes(labels, range(2), wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {"g_norm": "batch", "g_activation": "relu", "g_tanh": True, "normalize_latents": False, "equalized": False},
        {"base_height": 5, "channels": 1},
        {"convs_per_block": 1},
        {"levels": 0},
    ],
    ids=str,
)
def test_every_kind_of_network_is_drawn_alike_for_any_batch_size(tmp_path, changes):
    trained = make_generator(tmp_path, replace(NETWORK, **changes))
    images = draw_all(trained, 20, batch_size=3)
    assert images.shape[1:] == trained.shape
    np.testing.assert_array_equal(images, draw_all(trained, 20))


def write_run(folder, trained, shown):
    config = TrainConfig(stable_kimg=1.0, fade_kimg=1.0, mirror=True)
    tensors = {f"average/{name}": value for name, value in trained.network.state_dict().items()}
    (folder / "checkpoints").mkdir(parents=True)
    path = folder / "checkpoints" / f"checkpoint-{shown:011d}.safetensors"
    progress = {"images_shown": shown}
    write_checkpoint(path, Checkpoint(trained.network.config, config_to_json(config), progress, tensors))
    return path


# Phases of a thousand images: 3500 is half way into the fade to level 2.
@pytest.mark.parametrize(("shown", "level", "alpha"), [(1, 0, 1.0), (3501, 2, 0.5), (4001, 2, 1.0), (9999, 3, 1.0)])
def test_a_run_folder_says_where_its_training_stood(tmp_path, trained, shown, level, alpha):
    path = write_run(tmp_path / "run", trained, shown)
    for place in (tmp_path / "run", tmp_path / "run" / "checkpoints", path):
        found = open_generator(place)
        assert (found.level, found.images_shown, found.path) == (level, shown, path)
        assert found.alpha == pytest.approx(alpha)
        assert found.config is not None and found.config.mirror


def test_an_exported_generator_is_the_same_generator(tmp_path, trained):
    shown = replace(trained, level=2, alpha=0.5)
    write_generator(tmp_path / "g.safetensors", shown)
    found = open_generator(tmp_path / "g.safetensors")
    assert (found.level, found.alpha, found.images_shown) == (2, 0.5, 1000)
    np.testing.assert_array_equal(draw_all(found, 5), draw_all(shown, 5))


def test_files_that_hold_no_generator_are_refused(tmp_path, trained):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no checkpoints"):
        open_generator(tmp_path / "empty")
    with pytest.raises(InputError, match="no such file"):
        open_generator(tmp_path / "missing.safetensors")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(StoreError, match="neither a checkpoint nor an exported generator"):
        open_generator(tmp_path / "text")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(StoreError, match="not a checkpoint"):
        open_generator(tmp_path / "other.safetensors")
    write_generator(tmp_path / "g.safetensors", replace(trained, level=9))
    with pytest.raises(StoreError, match="level 9"):
        open_generator(tmp_path / "g.safetensors")
