"""What the pretrained nets achieve on real photographs, and that tiling them changes nothing visible."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from celebahq_tools.restore import Kind, load_restorer
from celebahq_tools.restore.network import NetRestorer
from celebahq_tools.restore.superres import RRDBNet
from celebahq_tools.restore.tiling import TilePlan, run_tiled
from celebahq_tools.types import Pixels

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def dejpeg() -> NetRestorer:
    return cast(NetRestorer, load_restorer("dejpeg", "jpeg-resnet", device="cpu"))


@pytest.fixture(scope="module")
def superres() -> NetRestorer:
    return cast(NetRestorer, load_restorer("sr", "realsr-df2k", device="cpu"))


def compress(pixels: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=2)
    return np.array(Image.open(buffer))


@pytest.mark.parametrize("quality", [10, 40])
@pytest.mark.parametrize(
    ("photo", "top", "left"), [("astronaut", 0, 96), ("coffee", 60, 200)], ids=["astronaut", "coffee"]
)
def test_dejpeg_gains_over_one_decibel_on_photographs(
    dejpeg: NetRestorer, photo: str, top: int, left: int, quality: int
) -> None:
    truth = getattr(skimage.data, photo)()[top : top + 256, left : left + 256]
    damaged = compress(truth, quality)
    before = peak_signal_noise_ratio(truth, damaged)
    # docs/restoration.md: 1.9 to 2.7 dB on these; a wrong channel order or a missing skip costs more than the margin.
    assert peak_signal_noise_ratio(truth, dejpeg.restore(damaged)) - before > 1


def test_dejpeg_leaves_a_clean_photograph_nearly_alone(dejpeg: NetRestorer) -> None:
    truth = skimage.data.astronaut()[:128, 128:256]
    assert peak_signal_noise_ratio(truth, dejpeg.restore(truth)) > 32


@pytest.mark.parametrize("quality", [50, 75])
def test_dejpeg_then_superresolution_beats_bicubic_on_a_small_compressed_face(
    dejpeg: NetRestorer, superres: NetRestorer, quality: int
) -> None:
    truth = skimage.data.astronaut()[0:256, 96:352]
    small = np.array(Image.fromarray(truth).resize((64, 64), Image.Resampling.BICUBIC))
    damaged = compress(small, quality)
    bicubic = np.array(Image.fromarray(damaged).resize((256, 256), Image.Resampling.BICUBIC))
    restored = superres.restore(dejpeg.restore(damaged))
    ssim_bicubic = structural_similarity(truth, bicubic, channel_axis=2)
    # Measured margin 0.037 to 0.046 (docs/restoration.md).
    assert structural_similarity(truth, restored, channel_axis=2) > ssim_bicubic + 0.02


def test_dejpeg_in_tiles_equals_the_whole_within_one_grey_level(dejpeg: NetRestorer) -> None:
    pixels = compress(skimage.data.astronaut()[:301, :333], 10)
    plan = TilePlan(dejpeg.plan.rule, dejpeg.halo, 160)
    assert len(plan.split_axis(302)) == 3
    tiled = run_tiled(pixels, dejpeg.run_tile, scale=1, plan=plan)
    # A tile as large as the image is the untiled net.
    assert np.abs(tiled.astype(int) - dejpeg.restore(pixels)).max() <= 1


def test_superresolution_in_tiles_equals_the_whole_within_one_grey_level(superres: NetRestorer) -> None:
    # The two faces of a cut see each other's context only through the halo.
    pixels = compress(skimage.data.astronaut()[100:148, 130:260], 60)
    plan = TilePlan(superres.plan.rule, superres.halo, 106)
    assert len(plan.split_axis(130)) == 2
    tiled = run_tiled(pixels, superres.run_tile, scale=4, plan=plan)
    assert np.abs(tiled.astype(int) - superres.run_tile(pixels)).max() <= 1


@pytest.mark.parametrize("kind", ["dejpeg", "sr"])
def test_context_beyond_the_halo_changes_no_pixel_by_more_than_one(
    dejpeg: NetRestorer, superres: NetRestorer, kind: Kind
) -> None:
    net = dejpeg if kind == "dejpeg" else superres
    pixels = compress(skimage.data.coffee()[100:124, 200:300], 30)
    keep = 10
    near = net.restore(pixels[:, : keep + net.halo])[:, : keep * net.scale]
    far = net.restore(pixels)[:, : keep * net.scale]
    assert np.abs(near.astype(int) - far).max() <= 1


@pytest.mark.parametrize("rows", [1, 16, 17, 41])
def test_upscaling_in_strips_equals_upscaling_at_once(rows: int) -> None:
    torch.manual_seed(0)
    net = RRDBNet(width=8, blocks=1, growth=4).eval()
    x = torch.rand(2, 3, rows, 7)
    with torch.inference_mode():
        shallow = net.conv_first(x)
        whole = net._upscale(shallow + net.conv_body(net.body(shallow)))
        # Only the order of float32 sums may differ.
        torch.testing.assert_close(net(x), whole, rtol=1e-5, atol=1e-6)


def test_building_and_running_nets_leaves_the_thread_count_alone(dejpeg: NetRestorer) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one = dejpeg.restore(skimage.data.astronaut()[:64, :64])
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)
        two = dejpeg.restore(skimage.data.astronaut()[:64, :64])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert np.abs(one.astype(int) - two).max() <= 1


def test_weights_saved_as_safetensors_give_the_same_restorer(dejpeg: NetRestorer, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "mine.safetensors"
    save_file({name: value.contiguous() for name, value in dejpeg.net.state_dict().items()}, path)
    mine = load_restorer("dejpeg", path, device="cpu")
    assert (mine.name, mine.licence) == ("mine.safetensors", "unknown (a file of the user's own)")
    pixels = skimage.data.coffee()[:32, :32]
    np.testing.assert_array_equal(mine.restore(pixels), dejpeg.restore(pixels))
    assert "GPL" in dejpeg.licence
