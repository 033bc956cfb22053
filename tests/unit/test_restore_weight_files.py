"""Weight files of the user's own: which net they are taken for, and what spandrel adds."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.torch import save_file

from celebahq_tools.errors import ConfigError, WeightsError
from celebahq_tools.restore import load_restorer
from celebahq_tools.restore.architectures import build_net
from celebahq_tools.restore.base import RestorerRequest
from celebahq_tools.restore.network import NetRestorer
from celebahq_tools.restore.tiling import TilePlan, run_tiled
from celebahq_tools.restore.training.checkpoint import export_weights

HAS_SPANDREL = importlib.util.find_spec("spandrel") is not None
PIXELS = np.ascontiguousarray(skimage.data.astronaut()[100:124, 150:180])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    net = build_net("srres-xs")
    torch.nn.init.normal_(net.tail.weight, std=0.02)  # type: ignore[union-attr, arg-type]
    path = tmp_path / "own.safetensors"
    export_weights(path, net, name="srres-xs", about={"steps": 0})
    return path


def test_a_file_that_names_one_of_our_nets_is_that_net(own: Path) -> None:
    restorer = load_restorer("sr", own, device="cpu")
    assert (restorer.name, restorer.scale) == ("own.safetensors", 4)
    assert restorer.licence == "unknown (a file of the user's own)"
    net = build_net("srres-xs").eval()
    net.load_state_dict({name: value.float() for name, value in _read(own).items()})
    with torch.inference_mode():
        expected = net(torch.from_numpy(PIXELS.copy()).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
    # Equal but for the rounding to a grey level and sums in another order.
    assert np.abs(restorer.restore(PIXELS) - expected.clamp(0, 1).numpy() * 255).max() < 0.51


def test_a_net_for_another_kind_or_scale_is_refused(own: Path) -> None:
    with pytest.raises(ConfigError, match="enlarges 4 times, so it is no JPEG artifact removal"):
        load_restorer("dejpeg", own, device="cpu")
    with pytest.raises(ConfigError, match="has scale 4, not 2"):
        load_restorer("sr", own, device="cpu", scale=2)


@pytest.mark.skipif(HAS_SPANDREL, reason="spandrel is installed")
def test_a_foreign_file_is_answered_with_the_extra_that_might_read_it(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match=r"not the weights of a RRDBNet.*pip install 'celebahq-tools\[spandrel\]'"):
        load_restorer("sr", path, device="cpu")


@pytest.mark.skipif(not HAS_SPANDREL, reason="needs the extra [spandrel] and torchvision")
def test_spandrel_reads_architectures_that_are_not_ours(tmp_path: Path) -> None:
    from spandrel.architectures.Compact import Compact
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    compact = Compact(num_feat=8, num_conv=2, upscale=2)
    torch.save({"params": compact.state_dict()}, tmp_path / "compact.pth")
    restorer = load_restorer("sr", tmp_path / "compact.pth", device="cpu")
    assert restorer.scale == 2
    assert "Compact" in restorer.licence
    with torch.inference_mode():
        expected = compact.eval()(torch.from_numpy(PIXELS.copy()).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
    assert np.abs(restorer.restore(PIXELS) - expected.clamp(0, 1).numpy() * 255).max() < 0.51
    with pytest.raises(ConfigError, match="so it is no JPEG artifact removal"):
        load_restorer("dejpeg", tmp_path / "compact.pth", device="cpu")
    grey = ESRGAN(in_nc=1, out_nc=1, num_filters=8, num_blocks=1)
    torch.save(grey.state_dict(), tmp_path / "grey.pth")
    with pytest.raises(WeightsError, match="not RGB to RGB"):
        load_restorer("sr", tmp_path / "grey.pth", device="cpu")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "unknown.pth")
    with pytest.raises(WeightsError, match="does not know it either"):
        load_restorer("sr", tmp_path / "unknown.pth", device="cpu")


def test_stacks_of_tiles_give_what_single_tiles_give(own: Path) -> None:
    restorer = load_restorer("sr", own, device="cpu")
    assert isinstance(restorer, NetRestorer)
    pixels = np.ascontiguousarray(skimage.data.coffee()[100:160, 200:280])
    plan = TilePlan(restorer.plan.rule, 8, 32)
    single = run_tiled(pixels, restorer.run_tile, scale=4, plan=plan)
    stacked = run_tiled(pixels, restorer.run_tile, scale=4, plan=plan, batch=5)
    # The same arithmetic, except that a stack's sums may be taken in another order.
    assert np.abs(single.astype(int) - stacked).max() <= 1


def test_half_precision_moves_pixels_by_little(own: Path) -> None:
    full = load_restorer("sr", own, device="cpu").restore(PIXELS)
    half = load_restorer("sr", own, device="cpu", precision="bf16").restore(PIXELS)
    # bfloat16 has eight bits: a grey level or two of the enlargement's detail.
    assert np.abs(full.astype(int) - half).max() <= 6
    assert np.abs(full.astype(int) - half).mean() < 1
    with pytest.raises(ConfigError, match="precision 'int8'"):
        RestorerRequest("x", precision="int8")  # type: ignore[arg-type]


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)
