"""Videos: the path through the latent space, and a file that independent decoders play."""

import shutil
import subprocess

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import kstest

from celebahq_tools.errors import ConfigError
from pggan_core.architecture import NetworkConfig
from pggan_core.drawing import Drawer
from pggan_core.generator_file import TrainedGenerator
from pggan_core.networks import Generator
from pggan_core.video import VideoConfig, choose_zoom, draw_frames, interpolate_latents, write_video

torch.set_num_threads(1)
SHORT = VideoConfig(seconds=1.2, fps=60, sigma_seconds=0.25, columns=2, rows=1, seed=3)


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    torch.manual_seed(0)
    config = NetworkConfig(levels=2, latent_size=64, fmap_base=128, fmap_max=32, labels=2)
    generator = Generator(config).eval().requires_grad_(False)
    return Drawer(TrainedGenerator(generator, 2, 1.0, 0, tmp_path_factory.getbasetemp()), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def frames(drawer):
    return list(draw_frames(drawer, SHORT))


@pytest.fixture(scope="module")
def film(frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "film.mp4"
    assert write_video(path, iter(frames), fps=60, zoom=8, crf=1) == len(frames)
    return path


def make_path(frames, sigma, seed=0, size=512):
    return interpolate_latents(frames, size, sigma=sigma, rng=np.random.default_rng(seed))


def test_latents_lie_on_the_hypersphere():
    path = make_path(300, 45.0)
    assert path.shape == (300, 512) and path.dtype == np.float32
    np.testing.assert_allclose(np.mean(path**2, axis=1), 1, atol=1e-5)


def test_neighbouring_frames_turn_by_the_angle_the_gaussian_implies():
    """Blurring white noise by sigma gives a correlation of exp(-d^2 / (4 sigma^2)) at a distance of d frames."""
    path = make_path(4000, 45.0).astype(float)
    for distance in (1, 20, 45, 90):
        cosine = np.mean(path * np.roll(path, distance, axis=0))
        # About 4000 / (3.5 * 45) independent places in 512 dimensions: a standard error of 0.009.
        assert cosine == pytest.approx(np.exp(-(distance**2) / (4 * 45**2)), abs=0.04)


def test_the_path_is_closed_and_no_step_is_longer_than_others():
    path = make_path(400, 20.0)
    steps = np.linalg.norm(path - np.roll(path, 1, axis=0), axis=1)
    # The first entry is the step from the last frame to the first.
    assert steps[0] < 1.5 * np.median(steps)
    assert steps.max() < 1.5 * np.median(steps)


def test_values_are_as_normal_as_those_the_network_was_trained_on():
    path = make_path(4000, 10.0, size=64)
    assert kstest(path[::60].ravel(), "norm").statistic < 0.03


def test_frames_are_the_same_every_time_and_differ_by_seed(drawer, frames):
    again = list(draw_frames(drawer, SHORT))
    assert len(frames) == 72
    np.testing.assert_array_equal(np.stack(frames), np.stack(again))
    other = next(draw_frames(drawer, VideoConfig(1.2, 60, 0.25, 2, 1, seed=4)))
    assert not np.array_equal(frames[0], other)


def test_frames_change_smoothly_also_from_the_last_to_the_first(frames):
    stack = np.stack(frames).astype(float)
    steps = np.abs(stack - np.roll(stack, 1, axis=0)).mean(axis=(1, 2, 3))
    far = np.abs(stack - np.roll(stack, 36, axis=0)).mean()
    assert steps.max() < 3 * np.median(steps)
    assert steps.max() < 0.25 * far
    assert steps.min() > 0


def test_classes_stay_with_their_interpolation_or_are_the_one_wanted(drawer, frames):
    first = next(draw_frames(drawer, SHORT, wanted_class=0))
    np.testing.assert_array_equal(first[:, :16], frames[0][:, :16])
    assert not np.array_equal(first[:, 16:], frames[0][:, 16:])


def test_an_independent_decoder_sees_every_frame_as_drawn(film, frames):
    """OpenCV brings its own FFmpeg. Tolerance: half the colours are stored, in 8 bits, at nearly lossless quality."""
    capture = cv2.VideoCapture(str(film))
    assert capture.get(cv2.CAP_PROP_FPS) == 60
    seen = []
    while True:
        more, pixels = capture.read()
        if not more:
            break
        seen.append(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    assert len(seen) == len(frames)
    for drawn, shown in zip(frames, seen, strict=True):
        enlarged = drawn.repeat(8, axis=0).repeat(8, axis=1)
        assert shown.shape == enlarged.shape
        # Brightness is stored in full: that is what is compared closely.
        grey = [cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(float) for pixels in (enlarged, shown)]
        assert np.abs(grey[0] - grey[1]).mean() < 4


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe")
def test_the_file_is_what_browsers_play(film):
    fields = "codec_name,profile,pix_fmt,color_space,color_range,avg_frame_rate,nb_frames,width,height"
    command = ["ffprobe", "-v", "error", "-show_entries", f"stream={fields}", "-of", "default=nw=1", str(film)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    found = dict(line.split("=") for line in done.stdout.split())
    assert found == {
        "codec_name": "h264",
        "profile": "High",
        "width": "256",
        "height": "128",
        "pix_fmt": "yuv420p",
        "color_range": "tv",
        "color_space": "bt709",
        "avg_frame_rate": "60/1",
        "nb_frames": "72",
    }


def test_the_index_comes_first_so_that_browsers_start_at_once(film):
    data = film.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_the_same_frames_give_the_same_file(tmp_path, frames):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, iter(frames[:20]), fps=30, zoom=2)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_odd_and_grey_frames_are_written_too(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 17, 21, 1), dtype=np.uint8)
    assert write_video(tmp_path / "odd.mp4", iter(frames), fps=24) == 5
    capture = cv2.VideoCapture(str(tmp_path / "odd.mp4"))
    assert capture.read()[1].shape == (18, 22, 3)


def test_an_error_while_drawing_leaves_no_file(tmp_path, frames):
    def broken():
        yield frames[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_video(tmp_path / "film.mp4", broken(), fps=60)
    assert list(tmp_path.iterdir()) == []


def test_small_images_are_enlarged_and_large_ones_not():
    assert [choose_zoom((3, side, side)) for side in (4, 32, 100, 128, 1024)] == [32, 4, 2, 1, 1]


@pytest.mark.parametrize(
    "changes", [{"seconds": 2.0}, {"fps": 0}, {"sigma_seconds": 0.0}, {"columns": 0}, {"seconds": float("nan")}]
)
def test_impossible_videos_are_refused(changes):
    with pytest.raises(ConfigError):
        VideoConfig(**changes)
