"""`pggan generate`: images of a trained generator."""

from __future__ import annotations

from pathlib import Path

import click

from celebahq_cli.seeds import SEED


@click.command()
@click.argument("network", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "outs",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="A .png (grid), .zip, .h5 or folder; may be given several times.",
)
@click.option("--num", type=click.IntRange(min=1), default=32, show_default=True, help="How many images.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the latents.")
@click.option(
    "--truncation",
    type=float,
    default=1.0,
    show_default=True,
    metavar="PSI",
    help="Below 1: less variation, nearer the average image.",
)
@click.option("--class", "wanted_class", type=int, help="Class of all images.  [default: all classes in turn]")
@click.option("--columns", type=click.IntRange(min=1), default=8, show_default=True, help="Images in a row of a grid.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Images held at once; changes none of them.  [default: 64, or 4 megapixels if that is fewer]",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto.")
def generate(
    network: Path,
    outs: tuple[Path, ...],
    num: int,
    seed: int,
    truncation: float,
    wanted_class: int | None,
    columns: int,
    batch_size: int | None,
    device: str,
) -> None:
    """Draw images from NETWORK: a run folder, a checkpoint, or a file of `pggan export`.

    Image number i depends on the network, --seed and i alone: --num and --batch-size change nothing about it.
    Folders and .zip files have StyleGAN's layout, .h5 files the layout of `celebahq build`.
    """
    import json
    import time
    from contextlib import ExitStack

    from tqdm import tqdm

    from celebahq_tools.errors import ConfigError
    from celebahq_tools.store.image_sinks import open_sink
    from pggan_core.drawing import Drawer, choose_classes, draw_images
    from pggan_core.generator_file import open_generator
    from pggan_core.setup import choose_device

    twice = next((out for number, out in enumerate(outs) if out in outs[:number]), None)
    if twice is not None:
        raise ConfigError(f"--out {twice}: named twice")
    trained = open_generator(network, say=lambda text: click.echo(text, err=True))
    labels = trained.network.config.labels
    classes = choose_classes(labels, range(num), wanted_class)
    drawer = Drawer(trained, device=choose_device(device), psi=truncation)
    held = batch_size or min(64, 4 * drawer.block)
    facts = {
        "generator": trained.path.name,
        "images_shown": trained.images_shown,
        "seed": seed,
        "truncation": truncation,
        "class": wanted_class,
    }
    done, started = 0, time.monotonic()
    with ExitStack() as stack:
        sinks = [
            stack.enter_context(
                open_sink(
                    out,
                    count=num,
                    shape=trained.shape,
                    columns=columns,
                    labels=labels,
                    attributes={"drawn": json.dumps(facts)},
                )
            )
            for out in outs
        ]
        bar = stack.enter_context(tqdm(total=num, unit="img", dynamic_ncols=True, disable=None))
        for images in draw_images(drawer, num, seed=seed, wanted_class=wanted_class, batch_size=held):
            for sink in sinks:
                sink.append(images, None if classes is None else classes[done : done + len(images)])
            done += len(images)
            bar.update(len(images))
    elapsed = time.monotonic() - started
    _, height, width = trained.shape
    click.echo(f"{num} images of {width}x{height} from {trained.path} ({trained.images_shown / 1000:.1f} kimg)")
    click.echo(f"{elapsed:.1f} s, {num / elapsed:.1f} img/s; written: {', '.join(map(str, outs))}")
