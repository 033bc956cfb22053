"""Winograd's convolution equals the direct sum, at every order of differentiation."""

import pytest
import torch
from torch.nn import functional as F

from pggan_core import convolution, winograd
from pggan_core.convolution import convolve
from pggan_core.winograd import convolve_3x3, correlate_3x3, pays_winograd

# float32 sums of a few hundred terms differ by some 1e-6 of their range; the transform's factors up to 8 add a digit.
TOLERANCE = 3e-5


def close(found: torch.Tensor, exact: torch.Tensor) -> bool:
    return bool((found - exact).abs().max() < TOLERANCE * exact.abs().max())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(3, 5, 7, 4, 4), (2, 16, 8, 12, 20), (1, 1, 1, 8, 4)])
def test_it_equals_the_direct_sum_in_float64(shape, layout) -> None:
    count, inputs, outputs, height, width = shape
    torch.manual_seed(0)
    x = torch.randn(count, inputs, height, width).contiguous(memory_format=layout)
    grad = torch.randn(count, outputs, height, width).contiguous(memory_format=layout)
    weight = torch.randn(outputs, inputs, 3, 3)
    exact_weight = weight.double().requires_grad_(True)
    exact = F.conv2d(x.double(), exact_weight, padding=1)
    exact.backward(grad.double())
    assert close(convolve_3x3(x, weight), exact)
    assert close(correlate_3x3(x, grad), exact_weight.grad)
    turned = weight.transpose(0, 1).contiguous()
    assert close(convolve_3x3(x, turned, adjoint=True), F.conv_transpose2d(x.double(), turned.double(), padding=1))


def test_parts_of_a_batch_change_nothing_but_rounding(monkeypatch) -> None:
    x, grad, weight = torch.randn(5, 6, 8, 8), torch.randn(5, 4, 8, 8), torch.randn(4, 6, 3, 3)
    whole = convolve_3x3(x, weight), correlate_3x3(x, grad)
    monkeypatch.setattr(winograd, "_PART_PIXELS", 128)
    assert close(convolve_3x3(x, weight), whole[0])
    assert close(correlate_3x3(x, grad), whole[1])


@pytest.mark.parametrize("transposed", [False, True])
def test_the_gradient_penalty_has_the_stock_second_derivatives(monkeypatch, transposed) -> None:
    monkeypatch.setattr(winograd, "_LEAST_MAPS", 1)
    monkeypatch.setattr(winograd, "_LEAST_PIXELS", 1)
    torch.manual_seed(1)
    # Small weights keep tanh in its bend, where its second derivative counts and amplifies no rounding.
    x, weight, after = torch.randn(2, 6, 8, 8), 0.1 * torch.randn(6, 6, 3, 3), 0.1 * torch.randn(6, 6, 3, 3)
    calls = []
    monkeypatch.setattr(convolution, "convolve_3x3", lambda *a, **k: calls.append(1) or convolve_3x3(*a, **k))

    def penalise(x, weight, after, stock):
        x, weight, after = (value.clone().requires_grad_(True) for value in (x, weight, after))
        if stock:
            run = F.conv_transpose2d if transposed else F.conv2d
            y = run(run(x, weight, padding=1).tanh(), after, padding=1)
        else:
            y = convolve(convolve(x, weight, transposed=transposed).tanh(), after, transposed=transposed)
        (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), (x, weight, after))

    found = penalise(x, weight, after, stock=False)
    exact = penalise(x.double(), weight.double(), after.double(), stock=True)
    assert len(calls) >= 4
    assert all(map(close, found, exact))


def test_it_is_used_for_many_maps_and_pixels_only() -> None:
    many, kernels = torch.empty(8, 128, 8, 8), torch.empty(128, 128, 3, 3)
    assert pays_winograd(many, kernels)
    assert not pays_winograd(many, kernels[:, :64])
    assert not pays_winograd(many[:4], kernels)
    assert not pays_winograd(torch.empty(8, 128, 18, 18), kernels)
    assert not pays_winograd(many.bfloat16(), kernels.bfloat16())
