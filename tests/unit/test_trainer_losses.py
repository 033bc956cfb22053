"""Losses against closed forms on critics whose gradients are known."""

import math

import pytest
import torch

from celebahq_tools.errors import ConfigError
from celebahq_tools.registry import Registry
from pggan_core.losses import LOSSES, LossConfig
from pggan_core.losses.acgan import label_loss

REAL, FAKE = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 0.25])
SLOPE = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))


def linear(images: torch.Tensor) -> torch.Tensor:
    return (images * SLOPE).sum(dim=(1, 2, 3))


def make(name, **config):
    return LOSSES.load(name)(LossConfig(**config))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_gives_one_finite_differentiable_value_per_sample(name):
    loss = make(name)
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    for value in (loss.discriminator(real, fake), loss.generator(fake)):
        assert value.shape == (2,)
        assert torch.autograd.grad(value.sum(), fake, retain_graph=True)[0].isfinite().all()
    penalty = loss.penalty(linear, torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), mix=torch.rand(2))
    assert penalty is None or penalty.shape == (2,)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_wants_reals_and_fakes_apart(name):
    # The discriminator's gradient moves the two scores in opposite directions, and the generator undoes it.
    loss = make(name)
    real, fake = torch.tensor([0.3], requires_grad=True), torch.tensor([0.3], requires_grad=True)
    d_real, d_fake = torch.autograd.grad(loss.discriminator(real, fake).sum(), (real, fake))
    (g_fake,) = torch.autograd.grad(loss.generator(fake).sum(), fake)
    assert d_real * d_fake < 0
    assert g_fake * d_fake < 0


@pytest.mark.parametrize("target", [1.0, 750.0])
def test_wgan_gp_penalty_equals_its_closed_form_on_a_linear_critic(target):
    loss = make("wgan-gp", penalty_target=target)
    norm = SLOPE.norm().item()
    for scale in (1.0, 0.25):
        got = loss.penalty(
            linear, torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), mix=torch.rand(2), gradient_scale=scale
        )
        torch.testing.assert_close(got, torch.full((2,), 10 * (norm * scale - target) ** 2 / target**2))


def test_wgan_gp_has_the_drift_term():
    torch.testing.assert_close(make("wgan-gp").discriminator(REAL, FAKE), FAKE - REAL + 0.001 * REAL**2)


def test_wgan_gp_penalty_is_taken_between_reals_and_fakes():
    seen = []

    def watch(images: torch.Tensor) -> torch.Tensor:
        seen.append(images.detach())
        return linear(images)

    mix = torch.tensor([0.25, 0.75])
    make("wgan-gp").penalty(watch, torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), mix=mix)
    torch.testing.assert_close(seen[0][:, 0, 0, 0], mix)


def test_r1_penalty_equals_its_closed_form_on_a_linear_critic():
    got = make("logistic-r1", penalty_weight=6.0).penalty(
        linear, torch.zeros(2, 3, 4, 4), torch.ones(1), mix=torch.rand(2)
    )
    torch.testing.assert_close(got, torch.full((2,), 3 * SLOPE.norm().item() ** 2))


def test_logistic_loss_at_zero_is_two_log_two():
    zero = torch.zeros(3)
    torch.testing.assert_close(make("logistic-r1").discriminator(zero, zero), torch.full((3,), 2 * math.log(2)))


def test_hinge_loss_stops_at_the_margins():
    torch.testing.assert_close(make("hinge").discriminator(torch.tensor([3.0]), torch.tensor([-3.0])), torch.zeros(1))


def test_lsgan_noise_follows_the_running_output():
    loss = make("lsgan")
    output = 0.0
    for _ in range(12):
        loss.observe(torch.zeros(2), torch.tensor([0.8, 1.2]))
        output = 0.9 * output + 0.1 * 1.0
        assert loss.noise_strength == pytest.approx(0.2 * max(output - 0.5, 0) ** 2)
    assert loss.noise_strength > 0
    other = make("lsgan")
    other.load_state(loss.state())
    assert other.noise_strength == loss.noise_strength


def test_lsgan_clips_the_output_it_follows():
    loss = make("lsgan")
    for _ in range(200):
        loss.observe(torch.zeros(1), torch.tensor([9.0]))
    assert loss.noise_strength == pytest.approx(0.2 * 0.25, rel=1e-3)


def test_label_loss_equals_torch_cross_entropy():
    logits, classes = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    expected = torch.nn.functional.cross_entropy(logits, classes, reduction="none")
    torch.testing.assert_close(label_loss(logits, torch.eye(4)[classes]), expected)


def test_unknown_loss_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'wgan-gp'"):
        LOSSES.load("wgan-pg")


def test_one_registry_line_adds_a_loss():
    losses = Registry("loss", {name: f"pggan_core.losses.{name.replace('-', '_')}:X" for name in LOSSES})
    losses.add("other", "pggan_core.losses.hinge:Hinge")
    assert losses.load("other")(LossConfig()).generator(FAKE).shape == (2,)
