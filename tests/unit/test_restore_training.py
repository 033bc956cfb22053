"""Training of the restoration nets: what is drawn, what is lost, and that stopping changes nothing."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy.fft import dctn

from celebahq_tools.errors import ConfigError, InputError, StoreError
from celebahq_tools.folder_lock import lock_folder
from celebahq_tools.restore import load_restorer, rednet
from celebahq_tools.restore.architectures import NAMES, build_net
from celebahq_tools.restore.training.batches import BatchMaker
from celebahq_tools.restore.training.checkpoint import read_run_checkpoint
from celebahq_tools.restore.training.config import RestoreTrainConfig
from celebahq_tools.restore.training.degradations import (
    ROOM,
    QualityOdds,
    compress,
    damage_for_dejpeg,
    damage_for_sr,
    draw_quality,
    vary_piece,
)
from celebahq_tools.restore.training.losses import (
    discriminator_loss,
    generator_loss,
    matching_loss,
    measure_distance,
    measure_log_error,
    measure_tempered_distance,
)
from celebahq_tools.restore.training.muon import orthogonalize
from celebahq_tools.restore.training.photographs import PatchSampler, list_photographs, load_photographs
from celebahq_tools.restore.training.step import scale_rate
from celebahq_tools.restore.training.trainer import TrainResult, train_restorer
from celebahq_tools.tensor_file import list_checkpoints
from celebahq_tools.types import Pixels

SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))


class Silent:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps = 0

    def begin(self, *, total: int, done: int) -> None:
        self.steps = done

    def advance(self, figures: dict[str, float]) -> None:
        self.steps += 1

    def say(self, text: str) -> None:
        self.lines.append(text)


class InterruptedRunError(Exception):
    pass


class Stopping(Silent):
    """Ends the run from outside after some steps, as a kill would."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def advance(self, figures: dict[str, float]) -> None:
        super().advance(figures)
        if self.steps == self.after:
            raise InterruptedRunError


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "coffee", "chelsea"):
        Image.fromarray(getattr(skimage.data, name)()[:296, :400]).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def config(photos: Path, tmp_path: Path) -> RestoreTrainConfig:
    return RestoreTrainConfig(
        task="dejpeg",
        net="rednet-xs",
        photos=(photos,),
        run_dir=tmp_path / "run",
        downscale=1,
        steps=4,
        batch=1,
        patch=16,
        warmup=2,
        checkpoint_every=2,
        validate_every=2,
    )


def train(config: RestoreTrainConfig) -> TrainResult:
    torch.set_num_threads(1)
    return train_restorer(config, Silent(), device="cpu")


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_a_run_that_was_killed_ends_in_the_same_bits(config: RestoreTrainConfig, optimizer: str) -> None:
    config = replace(config, optimizer=optimizer)
    whole = load_file(train(config).weights)
    stopped = replace(config, run_dir=config.run_dir / "stopped")
    with pytest.raises(InterruptedRunError):
        train_restorer(stopped, Stopping(after=3), device="cpu")
    resumed = Silent()
    result = train_restorer(stopped, resumed, device="cpu")
    assert "going on at step 2" in resumed.lines
    found = load_file(result.weights)
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_an_adversarial_run_resumes_in_the_same_bits_too(config: RestoreTrainConfig) -> None:
    config = replace(config, task="sr", net="srres-xs", adversarial=0.01, matching=0.1, discriminator_width=8)
    train(config)
    expected = read_run_checkpoint(list_checkpoints(config.run_dir)[-1]).tensors
    stopped = replace(config, run_dir=config.run_dir / "stopped")
    with pytest.raises(InterruptedRunError):
        train_restorer(stopped, Stopping(after=3), device="cpu")
    train(stopped)
    found = read_run_checkpoint(list_checkpoints(stopped.run_dir)[-1]).tensors
    assert found.keys() == expected.keys()
    assert any(name.startswith("discriminator/") for name in found)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_run_leaves_curve_checkpoints_and_weights_that_load(config: RestoreTrainConfig) -> None:
    result = train(replace(config, steps=6, keep=2))
    with result.curve.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert {"distance", "gain_q10_db", "gain_q75_db"} <= rows[0].keys()
    assert [path.name for path in list_checkpoints(config.run_dir)] == [
        "checkpoint-000000004.safetensors",
        "checkpoint-000000006.safetensors",
    ]
    assert {tensor.dtype for tensor in load_file(result.weights).values()} == {torch.float16}
    restorer = load_restorer("dejpeg", result.weights, device="cpu")
    pixels = compress(skimage.data.coffee()[:40, :50], 20)
    assert restorer.restore(pixels).shape == pixels.shape
    with pytest.raises(ConfigError, match="does not enlarge"):
        load_restorer("sr", result.weights, device="cpu")


def test_a_finished_run_goes_on_with_more_steps(config: RestoreTrainConfig) -> None:
    train(config)
    longer = Silent()
    assert train_restorer(replace(config, steps=5), longer, device="cpu").steps == 5
    assert longer.steps == 5
    assert "going on at step 4" in longer.lines


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(config: RestoreTrainConfig) -> None:
    train(config)
    newest = list_checkpoints(config.run_dir)[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    listener = Silent()
    train_restorer(config, listener, device="cpu")
    assert any("damaged checkpoint" in line for line in listener.lines)
    assert "going on at step 2" in listener.lines


def test_a_folder_with_a_run_of_another_net_is_refused(config: RestoreTrainConfig) -> None:
    train(config)
    with pytest.raises(ConfigError, match="holds a run of rednet-xs, not of rednet-s"):
        train(replace(config, net="rednet-s"))
    list_checkpoints(config.run_dir)[-1].rename(config.run_dir / "kept")
    for path in list_checkpoints(config.run_dir):
        path.write_bytes(b"")
    with pytest.raises(StoreError, match="damaged checkpoint"):
        train(config)


def test_a_folder_that_is_trained_in_is_refused(config: RestoreTrainConfig) -> None:
    config.run_dir.mkdir()
    message = "another training is running in it; wait for it, or pass another --run-dir"
    held = lock_folder(config.run_dir, what="training", option="--run-dir")
    with held, pytest.raises(ConfigError, match=message):
        train(config)
    assert train(config).steps == config.steps


def test_training_lowers_the_distance(config: RestoreTrainConfig) -> None:
    lesson = replace(
        config, steps=80, batch=2, patch=32, rate=2e-3, decay=1.0, average=0.9, temper=0.0, strong_odds=1.0
    )
    gains = train(replace(lesson, warmup=5, validate_every=80, checkpoint_every=80)).gains
    # A net that learned nothing stays at +-0.02 dB, its output being the input; five seeds gave +0.14 to +0.31.
    assert gains["q10"] > 0.05


def test_validation_photographs_are_never_trained_on(config: RestoreTrainConfig, photos: Path) -> None:
    listener = Silent()
    train_restorer(replace(config, validation=(photos / "coffee.png",)), listener, device="cpu")
    assert "photographs: 2 to train on, 1 to measure on" in listener.lines
    with pytest.raises(InputError, match="no usable photograph to train on"):
        train(replace(config, photos=(photos / "coffee.png",), validation=(photos,)))


def test_unusable_pictures_are_passed_over_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (40, 400)).save(tmp_path / "narrow.png")
    Image.new("RGBA", (400, 400)).save(tmp_path / "clear.png")
    Image.new("L", (300, 300)).save(tmp_path / "grey.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    said: list[str] = []
    found = load_photographs(list_photographs([tmp_path]), downscale=2, min_side=128, say=said.append)
    assert [photo.path.name for photo in found] == ["grey.png"]
    assert found[0].sizes[0].shape == (150, 150, 3)
    assert len(said) == 3
    assert any("transparent" in line for line in said)


def test_batches_depend_on_seed_and_step_alone(config: RestoreTrainConfig, photos: Path) -> None:
    loaded = load_photographs(list_photographs([photos]), downscale=1, min_side=64)
    maker = BatchMaker(config, PatchSampler(loaded))
    first, truth = maker.make(7)
    assert first.shape == truth.shape == (1, 3, 16, 16)
    maker.make(3)
    assert torch.equal(maker.make(7)[0], first)
    assert not torch.equal(maker.make(8)[0], first)
    assert not torch.equal(BatchMaker(replace(config, seed=1), PatchSampler(loaded)).make(7)[0], first)
    small, large = BatchMaker(replace(config, task="sr", net=None), PatchSampler(loaded)).make(0)
    assert small.shape == (1, 3, 16, 16)
    assert large.shape == (1, 3, 64, 64)


def test_jpeg_damage_covers_qualities_grids_and_clean_patches() -> None:
    piece = np.ascontiguousarray(skimage.data.astronaut()[: 64 + ROOM, : 64 + ROOM])
    errors = []
    for seed in range(200):
        pair = damage_for_dejpeg(np.random.default_rng(seed), piece, 64)
        assert pair.damaged.shape == pair.truth.shape == (64, 64, 3)
        errors.append(float(np.abs(pair.damaged.astype(int) - pair.truth).mean()))
    clean = sum(error == 0 for error in errors)
    assert 2 <= clean <= 30  # 6 % on average
    assert max(errors) > 6  # quality 5
    assert min(error for error in errors if error) < 2.5  # quality 95


def test_strong_odds_move_qualities_from_even_over_the_range_to_even_over_its_logarithm() -> None:
    rng = np.random.default_rng(0)
    even, strong = ([draw_quality(rng, 5, 95, QualityOdds(odds)) for _ in range(4000)] for odds in (0.0, 1.0))
    assert min(even) == min(strong) == 5
    assert max(even) == 95
    # The medians are the arithmetic and the geometric mean of 5 and 95; 4,000 draws are within 5 % of them.
    assert np.median(even) == pytest.approx(50, rel=0.05)
    assert np.median(strong) == pytest.approx(np.sqrt(5 * 95), rel=0.05)


def test_middle_odds_favour_qualities_15_to_80() -> None:
    rng = np.random.default_rng(0)
    found = np.array([draw_quality(rng, 5, 95, QualityOdds(0.0, 0.7)) for _ in range(4000)])
    # 66 of the 91 qualities of the even draw lie there, too.
    share = ((found >= 15) & (found <= 80)).mean()
    assert share == pytest.approx(0.7 + 0.3 * 66 / 91, abs=0.02)
    assert (found.min(), found.max()) == (5, 95)


def test_sr_damage_shows_the_same_place_at_a_quarter_of_the_size() -> None:
    side = (32 + ROOM) * 4
    piece = np.ascontiguousarray(skimage.data.astronaut()[:side, 100 : 100 + side])
    for seed in range(20):
        pair = damage_for_sr(np.random.default_rng(seed), piece, 32, 4, jpeg_odds=0.5)
        assert pair.damaged.shape == (32, 32, 3)
        mean = pair.truth.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
        distances = [np.abs(mean - np.roll(pair.damaged, shift, axis=(0, 1))).mean() for shift in SHIFTS]
        assert np.argmin(distances) == 0


def test_orthogonalized_matrices_have_singular_values_near_one_and_the_same_vectors() -> None:
    rng = torch.Generator().manual_seed(0)
    for shape in ((3, 8, 40), (2, 40, 8), (1, 16, 16)):
        matrices = torch.randn(shape, generator=rng, dtype=torch.float64)
        found = orthogonalize(matrices)
        values = torch.linalg.svdvals(found)
        # The five rounds leave values between 0.68 and 1.21 for all but the smallest hundredth of the input's.
        assert values.min() > 0.3
        assert values.max() < 1.25
        left, _, right = torch.linalg.svd(matrices, full_matrices=False)
        rotated = left.mT @ found @ right.mT
        off = rotated - torch.diag_embed(torch.diagonal(rotated, dim1=1, dim2=2))
        assert off.abs().max() < 1e-9


def test_losses_against_formulas_written_out() -> None:
    truth, restored = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.1)
    assert measure_distance(restored, truth).item() == pytest.approx((0.1**2 + 1e-6) ** 0.5 - 1e-3, rel=1e-5)
    assert measure_distance(truth, truth).item() == pytest.approx(0, abs=1e-7)
    pair = torch.stack([truth[0], restored[0]])
    damaged = torch.stack([torch.full((3, 2, 2), 0.3), truth[0]])
    # The first example is right already; the second is off by 0.1 although it had no damage.
    first = 1e-3 / (0.3 + 1 / 255) ** 0.5
    second = 0.1 / (1e-3 + 1 / 255) ** 0.5
    found = measure_tempered_distance(pair, torch.zeros(2, 3, 2, 2), damaged).item()
    assert found == pytest.approx((first + second) / 2, rel=1e-3)
    found = measure_tempered_distance(pair, torch.zeros(2, 3, 2, 2), damaged, power=1).item()
    assert found == pytest.approx((1e-3 / (0.3 + 1 / 255) + 0.1 / (1e-3 + 1 / 255)) / 2, rel=1e-3)
    # Minus PSNR in nepers: 20 dB are an error of 0.1; an example that is right counts as half a level off.
    assert measure_log_error(restored, truth).item() == pytest.approx(-20 * np.log(10) / 10, abs=1e-3)
    assert measure_log_error(truth, truth).item() == pytest.approx(2 * np.log(0.5 / 255), rel=1e-5)
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])
    # Mean scores 1 and 0: truths are compared with 0, outputs with 1.
    expected = 0.5 * (
        np.mean(np.log1p(np.exp(-np.array([2.0, 0.0])))) + np.mean(np.log1p(np.exp(np.array([-2.0, 0.0]))))
    )
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-5)
    assert generator_loss(real, fake).item() == pytest.approx(discriminator_loss(fake, real).item())
    assert matching_loss([torch.ones(2, 2)], [torch.full((2, 2), 1.5)]).item() == pytest.approx(0.5, rel=1e-4)


def test_the_spectrum_is_the_dct_of_every_block() -> None:
    image = np.random.default_rng(0).normal(size=(2, 3, 16, 24))
    net = rednet.Spectrum(1)
    for colour, row, column, u, v in ((0, 0, 0, 0, 0), (1, 1, 2, 7, 3), (2, 0, 1, 0, 5)):
        with torch.no_grad():
            net.mix.weight.zero_()
            net.mix.bias.zero_()
            net.mix.weight[0, colour * 64 + 8 * u + v] = 1
            found = net(torch.from_numpy(image).float())[1, 0, row, column].item()
        block = image[1, colour, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        # On a logarithmic scale with the coefficient's sign; float32 sums of 64 products.
        assert found == pytest.approx(0.4 * np.arcsinh(60 * dctn(block, norm="ortho")[u, v]), rel=1e-4)


def test_the_rate_rises_stays_and_falls(config: RestoreTrainConfig) -> None:
    config = replace(config, steps=100, warmup=10, decay=0.5)
    assert scale_rate(config, 0) == pytest.approx(0.1)
    assert scale_rate(config, 20) == scale_rate(config, 50) == 1
    assert scale_rate(config, 75) == pytest.approx(0.5)
    assert scale_rate(config, 99) < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_every_net_starts_as_doing_nothing_and_fits_the_limit(name: str) -> None:
    torch.manual_seed(0)
    net = build_net(name).eval()
    pixels = torch.from_numpy(skimage.data.astronaut()[:64, :48].copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        restored = net(pixels)
    expected: Pixels | torch.Tensor = pixels
    if name.startswith("srres"):
        expected = torch.nn.functional.interpolate(pixels, scale_factor=4, mode="bicubic")
    assert (restored - expected).abs().max() < 0.05
    assert 2 * sum(parameter.numel() for parameter in net.parameters()) <= 4e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "sharpen"}, "task 'sharpen'"),
        ({"net": "srres-s"}, "is none for dejpeg"),
        ({"patch": 20}, "multiple of 8"),
        ({"steps": 0}, "steps 0"),
        ({"rate": 0.0}, "rate 0.0"),
        ({"jpeg_odds": 1.5}, "jpeg_odds 1.5"),
        ({"strong_odds": -0.1}, "strong_odds -0.1"),
        ({"middle_odds": 1.1}, "middle_odds 1.1"),
        ({"downscale": 0.5}, "downscale 0.5"),
        ({"photos": ()}, "no photographs"),
        ({"optimizer": "sgd"}, "optimizer 'sgd'"),
        ({"loss": "l1"}, "loss 'l1'"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_bad_settings_are_refused(config: RestoreTrainConfig, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(config, **changes)  # type: ignore[arg-type]


def test_varied_pieces_are_softer_and_of_other_tones_and_colours_and_at_odds_0_untouched():
    noise = np.random.default_rng(0).integers(60, 190, (40, 40, 3)).astype(np.uint8)
    rng = np.random.default_rng(1)
    state = rng.bit_generator.state
    assert vary_piece(rng, noise, 0) is noise
    assert rng.bit_generator.state == state
    varied = [vary_piece(np.random.default_rng(seed), noise, 1) for seed in range(20)]
    assert all(piece.shape == noise.shape and piece.dtype == np.uint8 for piece in varied)
    # All were blurred by at least 0.3 pixels, which takes contrast from noise; gamma and contrast move the mean.
    assert all(piece.std() < noise.std() for piece in varied)
    means = [piece.mean() for piece in varied]
    assert min(means) < noise.mean() - 5
    assert max(means) > noise.mean() + 5
    # Grey stays grey: no colour is made up.
    grey = np.repeat(noise[:, :, :1], 3, axis=2)
    assert np.ptp(vary_piece(np.random.default_rng(3), grey, 1).astype(int), axis=2).max() == 0
