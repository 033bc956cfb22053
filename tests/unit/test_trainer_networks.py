"""Networks: Table 2, other shapes, fades, and the exactness of every shortcut taken for speed."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from celebahq_tools.config import resolve_config
from celebahq_tools.errors import ConfigError, ShapeError
from pggan_core.architecture import NetworkConfig, choose_grid
from pggan_core.config import TrainConfig
from pggan_core.convolution import convolve, fold_into_4x4
from pggan_core.layers import Conv, NoiseSource, upsample
from pggan_core.networks import Discriminator, Generator
from pggan_core.presets import PRESETS, find_preset

torch.set_num_threads(1)  # Small tensors: a second thread only waits.

# Table 2 of the paper, layer by layer, as printed: thousands (k) or millions (M) rounded to two digits.
TABLE2_G = "4.2M 2.4M 2.4M 2.4M 2.4M 2.4M 2.4M 2.4M 1.2M 590k 295k 148k 74k 37k 18k 9.2k 4.6k 2.3k 51"
TABLE2_D = "64 2.3k 4.6k 9.2k 18k 37k 74k 148k 295k 590k 1.2M 2.4M 2.4M 2.4M 2.4M 2.4M 2.4M 2.4M 4.2M 513"


def print_like_the_paper(count: int) -> str:
    if count < 1000:
        return str(count)
    if count >= 1e6:
        return f"{count / 1e6:.1f}M"
    # The paper truncates 2,320 and 4,640 and 9,248 to one decimal, larger counts to whole thousands.
    return f"{count / 1e3:.1f}k" if count < 10_000 else f"{count / 1e3:.0f}k"


def count_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def celebahq_networks():
    config = resolve_config(TrainConfig, preset=find_preset("celebahq-1024").settings)
    shape = config.network(levels=8, base_height=4, base_width=4, channels=3, labels=0)
    with torch.device("meta"):
        return Generator(shape), Discriminator(shape)


def test_generator_has_the_parameters_of_table_2_layer_by_layer(celebahq_networks):
    generator, _ = celebahq_networks
    layers = [generator.project, *(conv for block in generator.convs for conv in block), generator.to_rgb[-1]]
    counts = [count_parameters(layer) for layer in layers]
    assert " ".join(print_like_the_paper(count) for count in counts) == TABLE2_G
    assert print_like_the_paper(sum(counts)) == "23.1M"


def test_discriminator_has_the_parameters_of_table_2_layer_by_layer(celebahq_networks):
    _, discriminator = celebahq_networks
    blocks = [conv for block in reversed(discriminator.convs) for conv in block]
    layers = [discriminator.from_rgb[-1], *blocks, discriminator.last_conv, discriminator.last_dense]
    counts = [count_parameters(layer) for layer in [*layers, discriminator.score]]
    assert " ".join(print_like_the_paper(count) for count in counts) == TABLE2_D
    assert print_like_the_paper(sum(counts)) == "23.1M"


def test_mode_recovery_discriminators_have_the_sizes_of_metz_et_al():
    # Convolutions 3 -> 4 -> 8 -> 16 and a dense layer of 4x4x16: about 2000 for K/2; half the maps: about 500 for K/4.
    sizes = {}
    for name in ("mnist-rgb-k2-norm", "mnist-rgb-k2-mbstd", "mnist-rgb-k4-norm"):
        config = resolve_config(TrainConfig, preset=find_preset(name).settings)
        network = Discriminator(config.network(levels=3, base_height=4, base_width=4, channels=3, labels=0))
        growing = sum(count_parameters(layer) for layer in network.from_rgb)
        sizes[name] = count_parameters(network) - growing
    assert sizes == {"mnist-rgb-k2-norm": 1833, "mnist-rgb-k2-mbstd": 1849, "mnist-rgb-k4-norm": 557}


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((4, 4), (4, 4, 0)),
        ((1024, 1024), (4, 4, 8)),
        ((160, 128), (5, 4, 5)),
        ((64, 112), (4, 7, 4)),
        ((8, 12), (4, 6, 1)),
    ],
)
def test_image_sizes_are_split_into_base_grid_and_doublings(size, grid):
    assert choose_grid(*size) == grid


@pytest.mark.parametrize(
    ("size", "word"), [((100, 100), "64 or 128"), ((64, 100), "crop it to 96"), ((2, 2), "4 or 8")]
)
def test_sizes_that_fit_no_grid_are_refused_with_the_nearest_that_does(size, word):
    with pytest.raises(ShapeError, match=word):
        choose_grid(*size)


SMALL = NetworkConfig(levels=2, latent_size=6, fmap_base=32, fmap_max=8)


@pytest.mark.parametrize(
    "shape",
    [
        SMALL,
        replace(SMALL, base_height=5, base_width=4),
        replace(SMALL, channels=1),
        replace(SMALL, labels=3),
        replace(SMALL, levels=0),
        replace(SMALL, fused_downscale=False, stddev="groups"),
        replace(
            SMALL, equalized=False, g_norm="batch", g_activation="relu", g_tanh=True, d_norm="layer", stddev="none"
        ),
        replace(SMALL, discrimination_kernels=5, stddev="none"),
        replace(SMALL, convs_per_block=1, d_norm="batch", g_norm="batch"),
    ],
    ids=lambda shape: "-".join(f"{k}={v}" for k, v in vars(shape).items() if v != getattr(SMALL, k)) or "plain",
)
def test_every_network_shape_draws_and_judges_at_every_level(shape):
    generator, discriminator = Generator(shape), Discriminator(shape)
    labels = torch.eye(3)[torch.arange(4) % 3] if shape.labels else None
    for level in range(shape.levels + 1):
        for alpha in (0.3, 1.0):
            images = generator(torch.randn(4, 6), labels, level=level, alpha=alpha)
            assert images.shape == (4, shape.channels, *shape.resolution(level))
            scores, logits = discriminator(images, level=level, alpha=alpha)
            assert scores.shape == (4,) and logits.shape == (4, shape.labels)
            gradient = torch.autograd.grad(scores.sum(), images, create_graph=True)[0]
            assert gradient.square().sum().isfinite()


def test_fading_starts_from_the_old_networks_and_ends_at_the_new():
    generator, discriminator = Generator(SMALL), Discriminator(SMALL)
    latents = torch.randn(3, 6)
    old = upsample(generator(latents, level=1))
    new = generator(latents, level=2, alpha=1.0)
    torch.testing.assert_close(generator(latents, level=2, alpha=1e-7), old, atol=1e-5, rtol=0)
    torch.testing.assert_close(generator(latents, level=2, alpha=1 - 1e-7), new, atol=1e-5, rtol=0)
    images = torch.randn(3, 3, 16, 16)
    before, _ = discriminator(F.avg_pool2d(images, 2), level=1)
    start, _ = discriminator(images, level=2, alpha=1e-7)
    torch.testing.assert_close(start, before, atol=1e-5, rtol=0)


def test_discriminator_refuses_images_of_another_level():
    with pytest.raises(ShapeError, match=r"level 2 needs images \(3, 16, 16\)"):
        Discriminator(SMALL)(torch.zeros(2, 3, 8, 8), level=2)


def test_generator_refuses_missing_labels():
    with pytest.raises(ShapeError, match="3 labels"):
        Generator(replace(SMALL, labels=3))(torch.zeros(2, 6), level=0)


def test_joined_batches_score_as_separate_ones():
    discriminator = Discriminator(SMALL)
    first, second = torch.randn(2, 4, 3, 16, 16)
    joined, _ = discriminator(torch.cat([first, second]), level=2, batches=2)
    separate = torch.cat([discriminator(batch, level=2)[0] for batch in (first, second)])
    torch.testing.assert_close(joined, separate)


def test_fmap_base_too_small_for_the_depth_is_refused():
    with pytest.raises(ConfigError, match="no feature maps left at level 8"):
        NetworkConfig(levels=8, fmap_base=256)


@pytest.mark.parametrize("resize", ["up", "down"])
def test_folded_resizing_equals_resizing_and_convolving(resize):
    x, weight = torch.randn(2, 5, 8, 6, dtype=torch.float64), torch.randn(7, 5, 3, 3, dtype=torch.float64)
    up = resize == "up"
    folded = convolve(x, fold_into_4x4(weight, 0.7, upscale=up), stride=2, transposed=up)
    if up:
        expected = F.conv2d(F.interpolate(x, scale_factor=2), weight * 0.7, padding=1)
    else:
        expected = F.avg_pool2d(F.conv2d(x, weight * 0.7, padding=1), 2)
    torch.testing.assert_close(folded, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("resize", ["up", "down"])
@pytest.mark.parametrize("maps", [2, 300])  # Small and large kernels are computed differently.
def test_convolution_layer_is_the_same_folded_or_not(resize, maps):
    torch.manual_seed(0)
    layer, x = Conv(maps, 3, resize=resize), torch.randn(2, maps, 4, 4)
    # Sums of up to 2,700 products in float32, in another order: values of up to 5 differ in their last bits.
    torch.testing.assert_close(layer._convolve_folded(x), layer._convolve_plainly(x), atol=3e-5, rtol=0)
    assert layer._pays_to_fold(x) == (maps == 2)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "transposed"), [(3, 1, 1, False), (4, 2, 1, False), (4, 2, 1, True)]
)
def test_convolution_has_right_first_and_second_derivatives(kernel, stride, padding, transposed):
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    shape = (2, 3) if transposed else (3, 2)
    weight = torch.randn(*shape, kernel, kernel, dtype=torch.float64, requires_grad=True)

    def run(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return convolve(x, weight, stride=stride, padding=padding, transposed=transposed)

    assert torch.autograd.gradcheck(run, (x, weight))
    assert torch.autograd.gradgradcheck(run, (x, weight))


def test_equalized_layer_has_unit_weights_and_scaled_output():
    layer = Conv(64, 64)
    assert abs(layer.weight.std().item() - 1) < 0.02
    # He's scale keeps the variance through a ReLU-like layer: the sum has variance gain^2 = 2.
    assert layer(torch.randn(4, 64, 8, 8))[:, :, 1:-1, 1:-1].var().item() == pytest.approx(2, rel=0.15)


def test_noise_multiplies_each_map_of_each_sample_by_one_factor():
    noise = NoiseSource(0.1, torch.Generator().manual_seed(0))
    factors = noise.apply(torch.ones(500, 16, 2, 2))
    assert factors.flatten(2).std(dim=2).max() == 0
    # N(1, s * sqrt(C)) with s = 0.1 and C = 16; five standard errors.
    assert factors[..., 0, 0].std().item() == pytest.approx(0.4, abs=5 * 0.4 / 126)
    assert NoiseSource(0.0, noise.rng).apply(factors) is factors


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_describes_networks_that_can_be_built(name):
    config = resolve_config(TrainConfig, preset=find_preset(name).settings)
    levels = config.resolution.bit_length() - 3
    shape = config.network(levels=levels, base_height=4, base_width=4, channels=3, labels=0)
    with torch.device("meta"):
        generator, discriminator = Generator(shape), Discriminator(shape)
        images = generator(torch.empty(4, shape.latent_size), level=levels)
        assert discriminator(images, level=levels)[0].shape == (4,)
