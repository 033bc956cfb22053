"""`pggan video`: a latent interpolation as a film."""

from __future__ import annotations

import re
from pathlib import Path

import click

from celebahq_cli.seeds import SEED


def parse_grid(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    """Return (columns, rows) of ``COLUMNSxROWS``."""
    found = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not COLUMNSxROWS, such as 4x2", ctx, param)
    return int(found[1]), int(found[2])


@click.command()
@click.argument("network", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .mp4 to write.")
@click.option("--seconds", type=float, default=20.0, show_default=True, help="Length; it loops without a seam.")
@click.option("--fps", type=click.IntRange(min=1), default=60, show_default=True, help="Frames per second.")
@click.option("--grid", callback=parse_grid, default="4x2", show_default=True, help="Interpolations side by side.")
@click.option(
    "--smoothing", type=float, default=0.75, show_default=True, help="Sigma of the Gaussian over time, in seconds."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the latents.")
@click.option("--truncation", type=float, default=1.0, show_default=True, metavar="PSI", help="As for generate.")
@click.option("--class", "wanted_class", type=int, help="Class of all images.  [default: one for each interpolation]")
@click.option("--zoom", type=click.IntRange(min=1), help="Enlarge pixels.  [default: images of at least 128 pixels]")
@click.option(
    "--quality", type=click.IntRange(0, 51), default=16, show_default=True, help="CRF of x264; less is better."
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto.")
def video(
    network: Path,
    out: Path,
    seconds: float,
    fps: int,
    grid: tuple[int, int],
    smoothing: float,
    seed: int,
    truncation: float,
    wanted_class: int | None,
    zoom: int | None,
    quality: int,
    device: str,
) -> None:
    """Film interpolations through the latent space of NETWORK, as in the paper's video.

    Latents are random in every frame, blurred over time by a Gaussian (45 frames at 60 Hz) and put on the hypersphere.
    """
    from tqdm import tqdm

    from celebahq_tools.errors import InputError
    from pggan_core.drawing import Drawer, choose_classes
    from pggan_core.generator_file import open_generator
    from pggan_core.setup import choose_device
    from pggan_core.video import VideoConfig, choose_zoom, draw_frames, write_video

    config = VideoConfig(seconds, fps, smoothing, *grid, seed=seed)
    if out.suffix.lower() != ".mp4":
        raise InputError(f"{out}: end it in .mp4")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist; create it or write elsewhere")
    trained = open_generator(network, say=lambda text: click.echo(text, err=True))
    choose_classes(trained.network.config.labels, range(1), wanted_class)
    drawer = Drawer(trained, device=choose_device(device), psi=truncation)
    enlarge = zoom or choose_zoom(trained.shape)
    frames = draw_frames(drawer, config, wanted_class=wanted_class)
    shown = tqdm(frames, total=config.frames, unit="frame", dynamic_ncols=True, disable=None)
    written = write_video(out, iter(shown), fps=fps, zoom=enlarge, crf=quality)
    _, height, width = trained.shape
    size = f"{width * grid[0] * enlarge}x{height * grid[1] * enlarge}"
    click.echo(f"{out}: {written} frames of {size} at {fps} Hz, {out.stat().st_size / 1e6:.1f} MB")
