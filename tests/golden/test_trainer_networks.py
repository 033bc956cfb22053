"""The networks and losses give the original program's numbers, with its weights, at every fade position stored.

tests/golden/nets/ holds outputs of the released TensorFlow program (fused scaling, groups of 4, 3 labels). Tolerance
1e-4 relative to the largest value of each array: float32 sums in another order differ by about 1e-6 of it.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pggan_core.architecture import NetworkConfig
from pggan_core.layers import minibatch_stddev, pixel_norm
from pggan_core.losses import LOSSES, LossConfig
from pggan_core.losses.acgan import label_loss
from pggan_core.networks import Discriminator, Generator

NETS = Path(__file__).parent / "nets"
CONFIG = NetworkConfig(levels=2, labels=3, latent_size=32, fmap_base=128, fmap_max=32, stddev="groups")
LODS = ("0.00", "0.30", "1.00", "1.75", "2.00")
GRADIENT_LODS = ("0.00", "0.30")

# Ours -> the original's. Upscaling layers hold their kernel the other way round: there the fused layer is a transposed
# convolution of the unflipped kernel, here the kernel means the same with and without folding.
GENERATOR = {
    "project": "4x4/Dense",
    "convs.0.0": "4x4/Conv",
    "convs.1.0": "8x8/Conv0_up",
    "convs.1.1": "8x8/Conv1",
    "convs.2.0": "16x16/Conv0_up",
    "convs.2.1": "16x16/Conv1",
    "to_rgb.0": "ToRGB_lod2",
    "to_rgb.1": "ToRGB_lod1",
    "to_rgb.2": "ToRGB_lod0",
}
DISCRIMINATOR = {
    "from_rgb.0": "FromRGB_lod2",
    "from_rgb.1": "FromRGB_lod1",
    "from_rgb.2": "FromRGB_lod0",
    "convs.0.0": "8x8/Conv0",
    "convs.0.1": "8x8/Conv1_down",
    "convs.1.0": "16x16/Conv0",
    "convs.1.1": "16x16/Conv1_down",
    "last_conv": "4x4/Conv",
    "last_dense": "4x4/Dense0",
    "score": "4x4/Dense1",
}


def convert(name: str, array: np.ndarray) -> torch.Tensor:
    """Bring an array in the original's axis order (HWIO, or HWOI where upscaling is fused) to ours."""
    if array.ndim == 4:
        array = array.transpose(2, 3, 0, 1)[:, :, ::-1, ::-1] if name.endswith("_up") else array.transpose(3, 2, 0, 1)
    elif array.ndim == 2:
        array = array.T
    return torch.from_numpy(np.ascontiguousarray(array))


def load_stored() -> dict[str, np.ndarray]:
    stored: dict[str, np.ndarray] = {}
    for path in sorted(NETS.glob("r16_*.npz")):
        with np.load(path) as part:
            stored.update(part)
    return stored


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return load_stored()


@pytest.fixture(scope="module")
def networks(golden: dict[str, np.ndarray]) -> tuple[Generator, Discriminator]:
    generator, discriminator = Generator(CONFIG), Discriminator(CONFIG)
    for network, letter, names in ((generator, "G", GENERATOR), (discriminator, "D", DISCRIMINATOR)):
        network.load_state_dict(
            {
                f"{ours}.{kind}": convert(theirs, golden[f"var/{letter}/{theirs}/{kind}"])
                for ours, theirs in names.items()
                for kind in ("weight", "bias")
            }
        )
    return generator, discriminator


def place(lod: str) -> tuple[int, float, int]:
    """Return level, alpha and how many levels are still to come."""
    missing = math.floor(float(lod))
    fraction = float(lod) - missing
    return CONFIG.levels - missing, 1 - fraction, missing


def assert_close(got: torch.Tensor, expected: np.ndarray, what: str) -> None:
    want = torch.from_numpy(np.asarray(expected))
    assert got.shape == want.shape, what
    scale = want.abs().max().item()
    assert (got.detach() - want).abs().max().item() <= 1e-4 * scale + 1e-12, what


def tensor(golden: dict[str, np.ndarray], name: str) -> torch.Tensor:
    return torch.from_numpy(golden[name])


def compute_losses(
    golden: dict[str, np.ndarray], networks: tuple[Generator, Discriminator], lod: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the (8, 8) G and D losses: the original adds (8, 1) scores to (8,) label and penalty terms."""
    generator, discriminator = networks
    level, alpha, missing = place(lod)
    labels = tensor(golden, "labels")
    loss = LOSSES.load("wgan-gp")(LossConfig())
    fakes = generator(tensor(golden, "z2"), labels, level=level, alpha=alpha)
    scores, logits = discriminator(fakes, level=level, alpha=alpha)
    g_loss = loss.generator(scores)[:, None] + label_loss(logits, labels)[None]

    def score(images: torch.Tensor) -> torch.Tensor:
        return discriminator(images, level=level, alpha=alpha)[0]

    reals = torch.nn.functional.avg_pool2d(tensor(golden, "reals"), 2**missing)
    fakes = fakes.detach()
    real_scores, real_logits = discriminator(reals, level=level, alpha=alpha)
    fake_scores, fake_logits = discriminator(fakes, level=level, alpha=alpha)
    penalty = loss.penalty(score, reals, fakes, mix=tensor(golden, "mix").flatten(), gradient_scale=0.5**missing)
    assert penalty is not None
    columns = penalty + label_loss(real_logits, labels) + label_loss(fake_logits, labels)
    d_loss = loss.discriminator(real_scores, fake_scores)[:, None] + columns[None]
    return g_loss, d_loss


@pytest.mark.parametrize("lod", LODS)
def test_generator_draws_the_originals_images(golden, networks, lod):
    level, alpha, missing = place(lod)
    with torch.no_grad():
        images = networks[0](tensor(golden, "z"), tensor(golden, "labels"), level=level, alpha=alpha)
    full = images.repeat_interleave(2**missing, 2).repeat_interleave(2**missing, 3)
    assert_close(full, golden[f"lod{lod}/images"], "images")


@pytest.mark.parametrize("lod", LODS)
def test_discriminator_gives_the_originals_scores_and_label_logits(golden, networks, lod):
    level, alpha, missing = place(lod)
    images = torch.nn.functional.avg_pool2d(tensor(golden, "reals"), 2**missing)
    with torch.no_grad():
        scores, logits = networks[1](images, level=level, alpha=alpha)
    assert_close(scores[:, None], golden[f"lod{lod}/d_scores"], "scores")
    assert_close(logits, golden[f"lod{lod}/d_labels"], "label logits")


@pytest.mark.parametrize("lod", LODS)
def test_losses_equal_the_originals(golden, networks, lod):
    g_loss, d_loss = compute_losses(golden, networks, lod)
    assert_close(g_loss, golden[f"lod{lod}/G_loss"], "G loss")
    assert_close(d_loss, golden[f"lod{lod}/D_loss"], "D loss")


@pytest.mark.parametrize("lod", GRADIENT_LODS)
def test_gradients_of_every_parameter_equal_the_originals(golden, networks, lod):
    losses = compute_losses(golden, networks, lod)
    for network, loss, letter, names in zip(networks, losses, "GD", (GENERATOR, DISCRIMINATOR), strict=True):
        parameters = dict(network.named_parameters())
        gradients = torch.autograd.grad(loss.mean(), list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            ours, kind = name.rsplit(".", 1)
            expected = convert(names[ours], golden[f"lod{lod}/grad{letter}/{names[ours]}/{kind}"]).numpy()
            # Layers of levels not in use get no gradient here, and zeros there.
            got = torch.zeros_like(parameters[name]) if gradient is None else gradient
            assert_close(got, expected, f"gradient of {letter} {name}")


@pytest.mark.parametrize("count", [3, 4, 8, 16])
@pytest.mark.parametrize("group", [4, 16])
def test_minibatch_stddev_equals_the_original(count, group):
    with np.load(NETS / "layers.npz") as stored:
        got = minibatch_stddev(torch.from_numpy(stored[f"x{count}"]), group)
        assert_close(got, stored[f"y{count}_g{group}"], "minibatch stddev")


def test_minibatch_stddev_over_the_whole_batch_is_one_group_of_all():
    with np.load(NETS / "layers.npz") as stored:
        assert_close(minibatch_stddev(torch.from_numpy(stored["x16"])), stored["y16_g16"], "minibatch stddev")


def test_pixel_norm_equals_the_original():
    with np.load(NETS / "layers.npz") as stored:
        assert_close(pixel_norm(torch.from_numpy(stored["pn_x"])), stored["pn_y"], "pixel norm")
