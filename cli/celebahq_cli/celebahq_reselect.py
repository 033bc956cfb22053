"""`celebahq reselect` and `celebahq calibrate`: what the scores of a finished build are good for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from celebahq_cli.celebahq_options import compression_option

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("work", type=PATH)
@click.option("--keep", type=click.IntRange(min=1), required=True, help="Keep the best N faces.")
@click.option("--out", type=PATH, help="HDF5 file to write.  [default: the one the build wrote]")
@click.option(
    "--duplicates",
    type=click.Choice(["off", "near", "mirrored"]),
    default="off",
    show_default=True,
    help="Leave out faces that repeat a better one: not at all, if they look the same, or also if mirrored.",
)
@compression_option
@click.option("--overwrite", is_flag=True, help="Replace an existing OUT.")
def reselect(
    work: Path,
    keep: int,
    out: Path | None,
    duplicates: Literal["off", "near", "mirrored"],
    compression: str,
    overwrite: bool,
) -> None:
    """Choose again from a build's scored faces, and write the dataset and manifest again.

    WORK is the --work folder of a build. Nothing is computed again: faces that the build deleted because they were out
    of reach of its own --keep are missing here, and asking for them is refused; the build itself makes them again.
    """
    from celebahq_cli.progress import BuildProgress
    from celebahq_tools.reselection import run_reselect

    with BuildProgress() as progress:
        summary = run_reselect(
            work,
            keep=keep,
            out=out,
            duplicates=duplicates,
            overwrite=overwrite,
            listener=progress,
            compression=compression,
        )
    click.echo(f"Ranked {summary.ranked}, kept {summary.kept} (score >= {summary.threshold:.4f}).")
    click.echo(f"Dataset:  {summary.out}\nManifest: {summary.manifest}")


@click.command()
@click.argument("work", type=PATH)
@click.option("--official", type=PATH, required=True, help="CelebA-HQ's image_list.txt, or CelebAMask-HQ's mapping.")
def calibrate(work: Path, official: Path) -> None:
    """Compare the scores of a build of CelebA with the authors' own choice of 30,000.

    WORK is the --work folder of a build, or its manifest. Printed is the ROC-AUC of the score, and of each of its
    components, for being on the official list: 1 if every face on the list scores above every other, 0.5 for chance.
    """
    from celebahq_tools.calibration import calibrate_scores

    result = calibrate_scores(work, official)
    click.echo(f"Official {result.official}, of which scored here {result.on_list}; not on the list {result.off_list}.")
    if result.rejected:
        click.echo(f"Rejected although on the list: {sum(result.rejected.values())}")
        for reason, count in result.rejected.items():
            click.echo(f"  {count:>6}  {reason}")
    click.echo(f"{'':14}  ROC-AUC   95 % interval")
    for name, auc in result.areas.items():
        click.echo(f"{name:14}  {auc.value:.4f}   {auc.low:.4f} .. {auc.high:.4f}")
