"""`pggan neighbors`: which training images are nearest to generated ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pggan_core.neighbors import Crop, Describe


@click.command()
@click.argument("network", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), help="Training images.  [default: the run's own dataset]")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Picture to write (.png).")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Also write them here.")
@click.option("--num", type=click.IntRange(min=1), default=8, show_default=True, help="How many generated images.")
@click.option("--neighbors", "count", type=click.IntRange(min=1), default=5, show_default=True, help="Of each.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the latents.")
@click.option("--truncation", type=float, default=1.0, show_default=True, metavar="PSI", help="As for generate.")
@click.option(
    "--queries",
    type=click.Path(path_type=Path),
    help="Look for these images instead (folder, .zip or .h5; the first --num), not for generated ones.",
)
@click.option(
    "--features",
    type=click.Choice(["auto", "inception", "pixels"]),
    default="auto",
    show_default=True,
    help="inception: pool3 of InceptionV3; pixels: 32x32 averages; auto: inception if its weights are installed.",
)
@click.option(
    "--crop", default="face", show_default=True, help="What is compared: face, none, or left,top,right,bottom in 0..1."
)
@click.option(
    "--mirror/--no-mirror", default=None, help="Compare with mirror images too.  [default: as the run was trained]"
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto.")
def neighbors(
    network: Path,
    data: Path | None,
    out: Path,
    json_file: Path | None,
    num: int,
    count: int,
    seed: int,
    truncation: float,
    queries: Path | None,
    features: str,
    crop: str,
    mirror: bool | None,
    device: str,
) -> None:
    """Find the training images nearest to images of NETWORK, as in the paper's Figure 10.

    If a generated image is a copy, its neighbour shows it. The paper compared VGG features of a crop of the face; VGG's
    weights cannot be had offline, so InceptionV3's are used, or pixels.
    """
    import json

    import numpy as np
    from numpy.typing import NDArray
    from tqdm import tqdm

    from celebahq_cli.swd_options import check_targets
    from celebahq_tools.atomic import write_text_atomically
    from celebahq_tools.errors import ConfigError, InputError, ShapeError
    from celebahq_tools.pictures.canvas import save_picture
    from pggan_core.data import open_source
    from pggan_core.drawing import Drawer, draw_images
    from pggan_core.generator_file import open_generator
    from pggan_core.neighbors import draw_neighbors, find_neighbors
    from pggan_core.setup import choose_device

    check_targets(out, json_file)
    area = parse_crop(crop)
    trained = open_generator(network, say=lambda text: click.echo(text, err=True))
    where = data or (Path(trained.config.data) if trained.config and trained.config.data else None)
    if where is None:
        raise ConfigError(f"{trained.path}: does not say what it was trained on; pass --data")
    reals = open_source(where)
    channels, height, width = trained.shape
    name, describe = choose_features(features, device)
    if queries is None:
        drawer = Drawer(trained, device=choose_device(device), psi=truncation)
        wanted = np.concatenate(list(draw_images(drawer, num, seed=seed)))
    else:
        asked = open_source(queries)
        wanted = asked.read(range(min(num, len(asked))), height)
    same_sides = reals.shape[1] * width == reals.shape[2] * height
    if wanted.shape[1:] != trained.shape or reals.shape[0] != channels or not same_sides:
        raise ShapeError(f"{where}: images of another shape than {width}x{height} with {channels} channels")
    if reals.shape[1] < height:
        raise InputError(f"{where}: its images are smaller than the network's {width}x{height}")
    mirrored = mirror if mirror is not None else bool(trained.config and trained.config.mirror)
    with tqdm(total=len(reals), desc=name, unit="img", dynamic_ncols=True, disable=None) as bar:

        def read_all() -> Iterator[NDArray[np.uint8]]:
            for start in range(0, len(reals), 64):
                batch = reals.read(range(start, min(start + 64, len(reals))), height)
                yield batch
                bar.update(len(batch))

        found = find_neighbors(wanted, read_all(), describe, count=count, crop=area, mirror=mirrored)
    pictures = [[(neighbor, reals.read([neighbor.index], height)[0]) for neighbor in row] for row in found]
    title = f"{name}, crop {crop}{', mirror images too' if mirrored else ''}; {len(reals)} images of {where.name}"
    save_picture(draw_neighbors(wanted, pictures, crop=area, title=title), out)
    for query, row in enumerate(found):
        listed = "  ".join(f"#{n.index}{' mirrored' if n.mirrored else ''} {n.distance:.4g}" for n in row)
        click.echo(f"query {query}: {listed}")
    if json_file is not None:
        rows = [[{"index": n.index, "distance": n.distance, "mirrored": n.mirrored} for n in row] for row in found]
        facts = {"features": name, "crop": [area.left, area.top, area.right, area.bottom], "neighbors": rows}
        write_text_atomically(json_file, json.dumps(facts, indent=1) + "\n")
    click.echo(f"{out}: {title}")


def parse_crop(text: str) -> Crop:
    """Return the crop of an option's value.

    Raises:
        ConfigError: If it is none.
    """
    from celebahq_tools.errors import ConfigError
    from pggan_core.neighbors import FACE_CROP, Crop

    if text in ("face", "none"):
        return FACE_CROP if text == "face" else Crop()
    try:
        left, top, right, bottom = map(float, text.split(","))
    except ValueError:
        raise ConfigError(f"crop {text!r}: give face, none, or left,top,right,bottom such as 0.2,0.2,0.8,0.8") from None
    return Crop(left, top, right, bottom)


def choose_features(kind: str, device: str) -> tuple[str, Describe]:
    """Return the name of the features and what computes them.

    Raises:
        WeightsError: If Inception's are asked for and not installed.
    """
    import numpy as np

    from celebahq_tools.errors import WeightsError
    from pggan_core.neighbors import describe_pixels
    from pggan_core.setup import choose_device

    if kind != "pixels":
        from gan_metrics import MetricSettings
        from gan_metrics.features import get_extractor

        try:
            extractor = get_extractor(MetricSettings(device=str(choose_device(device))))
        except WeightsError as error:
            if kind == "inception":
                raise
            click.echo(f"comparing pixels: {error}", err=True)
        else:
            return (
                "InceptionV3 pool3 features",
                lambda images: (
                    extractor.extract(
                        np.ascontiguousarray(np.broadcast_to(images, (len(images), 3, *images.shape[2:])))
                    ).pool
                ),
            )
    return "pixels averaged to 32x32", describe_pixels
