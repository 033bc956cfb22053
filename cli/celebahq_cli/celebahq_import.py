"""`celebahq import`: ready-made sets of images into our HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from celebahq_cli.celebahq_options import compression_option
from celebahq_cli.failures import report_failures

PATH = click.Path(path_type=Path)
# Listed here, not taken from the registry, whose package imports numpy; a test compares the two.
KINDS = (
    *("folder", "zip", "npz", "tfrecords", "webdataset", "hdf5"),
    *("celeba-aligned", "lsun-lmdb", "cifar10", "mnist", "mnist-rgb"),
)


@click.command("import")
@click.argument("source", type=PATH)
@click.option("--kind", required=True, type=click.Choice(KINDS), help="What SOURCE is.")
@click.option("--out", type=PATH, required=True, help="HDF5 file to make.")
@click.option("--size", type=click.IntRange(min=1), help="Cut the middle square and reduce it to this side.")
@click.option("--channels", type=click.Choice(["1", "3"]), help="Grey or RGB.  [default: as the first usable image]")
@click.option("--labels/--no-labels", default=None, help="Take the source's labels.  [default: yes; mnist-rgb: no]")
@click.option("--limit", type=click.IntRange(min=1), help="Take only the first N images.")
@click.option(
    "--part", type=click.Choice(["train", "test"]), default="train", show_default=True, help="CIFAR-10, MNIST."
)
@click.option("--count", type=click.IntRange(min=1), help="mnist-rgb: images to draw.  [default: 1000000]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="mnist-rgb: seed of the draw.")
@compression_option
@click.option(
    "--workers", type=click.IntRange(min=1), help="Decoding and compressing threads.  [default: one per core]"
)
@click.option("--overwrite", is_flag=True, help="Replace an existing OUT, its labels and its manifest.")
def import_(
    source: Path,
    kind: str,
    out: Path,
    size: int | None,
    channels: str | None,
    labels: bool | None,
    limit: int | None,
    part: Literal["train", "test"],
    count: int | None,
    seed: int,
    compression: str,
    workers: int | None,
    overwrite: bool,
) -> None:
    """Store images that need no restoration as a multi-resolution HDF5 dataset.

    Images keep the order of SOURCE and, without --size, their pixels. Labels go to OUT's name with -labels.npy. What
    cannot be used is counted, and listed with its reason in OUT's name with .manifest.csv.
    """
    with report_failures("nothing was left at --out; run the same command again"):
        from celebahq_cli.progress import BuildProgress
        from celebahq_tools.importing import ImportConfig, run_import
        from celebahq_tools.source.importers.base import ImportRequest

        config = ImportConfig(
            ImportRequest(source, part, count, seed, labels),
            kind,
            out,
            size=size,
            channels=None if channels is None else int(channels),
            limit=limit,
            workers=workers or 0,
            overwrite=overwrite,
            compression=compression,
        )
        with BuildProgress() as progress:
            summary = run_import(config, progress)
    depth, height, width = summary.shape
    labelled = f", {summary.classes} label columns" if summary.classes else ""
    click.echo(f"Found {summary.found}, kept {summary.kept} of {width}x{height} with {depth} channels{labelled}.")
    for reason, number in summary.rejected.items():
        click.echo(f"  rejected {number:>6}  {reason}")
    click.echo(f"Dataset:  {out}\nManifest: {summary.manifest}")
