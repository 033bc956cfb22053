"""Latent interpolation videos: smooth loops through the latent space, encoded for any browser."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import ConfigError
from pggan_core.drawing import Drawer
from pggan_core.sampling import make_grid

# Section 6.3: sigma is 45 frames at 60 Hz.
PAPER_SIGMA_SECONDS = 45 / 60
# Shorter, and the whole loop would be one blurred mean.
_LEAST_SIGMAS = 4.0
_SMALL = 128
# Fixed, so that the file does not depend on the machine's cores.
_ENCODER_THREADS = 4


@dataclass(frozen=True)
class VideoConfig:
    """A video of several interpolations side by side.

    Attributes:
        seconds: Length; the last frame leads on to the first.
        fps: Frames per second.
        sigma_seconds: Standard deviation of the Gaussian over time; the paper's 45 frames at 60 Hz are 0.75 s.
        columns, rows: Interpolations side by side.
        seed: Of the latents.
    """

    seconds: float = 20.0
    fps: int = 60
    sigma_seconds: float = PAPER_SIGMA_SECONDS
    columns: int = 4
    rows: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fps < 1 or min(self.columns, self.rows) < 1 or self.seed < 0:
            raise ConfigError("fps, columns and rows must be at least 1, seed at least 0")
        if not math.isfinite(self.seconds):
            raise ConfigError(f"seconds {self.seconds}: must be a finite number")
        if not self.sigma_seconds > 0:
            raise ConfigError(f"smoothing {self.sigma_seconds}: must be positive")
        if not self.seconds >= _LEAST_SIGMAS * self.sigma_seconds:
            least = _LEAST_SIGMAS * self.sigma_seconds
            raise ConfigError(
                f"{self.seconds} s is too short for a loop smoothed over {self.sigma_seconds} s; "
                f"take at least {least:g} s, or less smoothing"
            )

    @property
    def frames(self) -> int:
        """Number of frames."""
        return max(2, round(self.seconds * self.fps))

    @property
    def clips(self) -> int:
        """Number of interpolations side by side."""
        return self.columns * self.rows


def interpolate_latents(frames: int, size: int, *, sigma: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a closed path through the latent space.

    Every frame has its own latents from N(0, 1), blurred over time by a Gaussian and put on the hypersphere (Karras et
    al. 2018, Section 6.3). Time wraps round, so that the end meets the beginning.

    Args:
        frames: Length of the path.
        size: Length of a latent vector.
        sigma: Standard deviation of the Gaussian in frames.
        rng: Source of the latents.
    Returns:
        (frames, size) float32, each row of unit mean square.
    """
    latents = rng.standard_normal((frames, size))
    smooth = gaussian_filter1d(latents, sigma, axis=0, mode="wrap")
    return np.asarray(smooth / np.sqrt(np.mean(smooth**2, axis=1, keepdims=True)), dtype=np.float32)


def draw_frames(drawer: Drawer, config: VideoConfig, *, wanted_class: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames (H, W, C) uint8; the same ones for the same arguments, to the last bit on one machine.

    Args:
        drawer: Draws the images.
        config: The video.
        wanted_class: Class of all interpolations; each has its own if omitted (networks with labels).
    """
    size = drawer.config.latent_size
    paths = np.stack(
        [
            interpolate_latents(
                config.frames,
                size,
                sigma=config.sigma_seconds * config.fps,
                rng=np.random.default_rng((config.seed, clip)),
            )
            for clip in range(config.clips)
        ],
        axis=1,
    )
    classes = None
    if drawer.config.labels:
        every = np.arange(config.clips) % drawer.config.labels
        classes = every if wanted_class is None else np.full(config.clips, wanted_class)
    # As many frames at a time as fill whole blocks.
    step = max(1, drawer.block // config.clips)
    for start in range(0, config.frames, step):
        chunk = paths[start : start + step]
        repeated = None if classes is None else np.tile(classes, len(chunk))
        images = drawer.draw(chunk.reshape(-1, size), repeated)
        for frame in images.reshape(len(chunk), config.clips, *images.shape[1:]):
            yield make_grid(frame, config.columns)


def choose_zoom(shape: tuple[int, int, int]) -> int:
    """Return by how much small images (channels, height, width) are enlarged so that they can be seen."""
    return max(1, -(-_SMALL // min(shape[1:])))


def write_video(path: Path, frames: Iterator[NDArray[np.uint8]], *, fps: int, zoom: int = 1, crf: int = 16) -> int:
    """Write an MP4 that browsers play: H.264, yuv420p, BT.709, index first. Whole or absent.

    Args:
        path: ``*.mp4`` file.
        frames: (H, W, 3) or (H, W, 1) uint8, all alike.
        fps: Frames per second.
        zoom: Repeat every pixel that often in both directions.
        crf: Quality of x264: 0 lossless, 16 nearly so, 23 its default.
    Returns:
        Number of frames.
    Raises:
        ConfigError: If PyAV is not installed.
        OSError: If the file cannot be written.
    """
    av = _import_av()
    count = 0
    with write_atomically(path) as temporary:
        # "bitexact" keeps the time of day and library versions out of the file.
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(temporary), "w", format="mp4", options=options) as container:
            stream = container.add_stream("libx264", rate=Fraction(fps))
            for pixels in frames:
                enlarged = pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
                if count == 0:
                    _configure(stream, enlarged, crf, fps)
                for packet in stream.encode(_make_frame(av, enlarged, count, fps)):
                    container.mux(packet)
                count += 1
            for packet in stream.encode():
                container.mux(packet)
    return count


def _import_av() -> Any:
    try:
        import av
    except ModuleNotFoundError:
        raise ConfigError("videos need PyAV; run: pip install 'celebahq-tools[video]'") from None
    return av


def _configure(stream: Any, first: NDArray[np.uint8], crf: int, fps: int) -> None:
    height, width = first.shape[:2]
    # Colours are halved in both directions: sides must be even, and H.264 encoders want them so.
    stream.width, stream.height = width + width % 2, height + height % 2
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = _ENCODER_THREADS
    stream.codec_context.time_base = Fraction(1, fps)
    for name in ("color_primaries", "color_trc", "colorspace"):
        setattr(stream.codec_context, name, 1)  # BT.709
    stream.codec_context.color_range = 1  # 16..235
    stream.options = {"crf": str(crf), "preset": "medium", "profile": "high"}


def _make_frame(av: Any, pixels: NDArray[np.uint8], number: int, fps: int) -> Any:
    height, width = pixels.shape[:2]
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rgb = np.ascontiguousarray(np.broadcast_to(even, (*even.shape[:2], 3)))
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv420p", src_colorspace="itu709", dst_colorspace="itu709"
    )
    frame.pts, frame.time_base = number, Fraction(1, fps)
    return frame
