"""`celebahq rank`: the quality score of any images."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source", type=PATH)
@click.option("--size", type=int, help="Score the middle N x N pixels.  [default: as large a power of two as fits]")
@click.option("--csv", "table", type=PATH, help="Write every row, with all components, to a CSV file.")
@click.option("--top", type=click.IntRange(min=0), default=20, show_default=True, help="Rows to print, best first.")
def rank(source: Path, size: int | None, table: Path | None, top: int) -> None:
    """Score images by their frequency spectrum and blockiness, best first.

    SOURCE is an image, a folder (searched recursively), or a .zip, .npy, .npz or HDF5 file. Of every image the middle
    square of a power of two is scored, unscaled: resizing would change what is measured. Scores of squares of
    different size cannot be compared; --size makes them equal. Files that are no images are listed, not counted.
    """
    from celebahq_cli.progress import BuildProgress
    from celebahq_tools.ranking import rank_images, write_ranking

    with BuildProgress() as progress:
        ranking = rank_images(source, size=size, listener=progress)
    if table is not None:
        write_ranking(table, ranking)
    if top and ranking.rows:
        click.echo(f"{'score':>8}  {'size':>5}  {'blockiness':>10}  name")
    for row in ranking.rows[:top]:
        click.echo(f"{row.score.value:8.4f}  {row.size:5}  {row.score.components['blockiness']:10.3f}  {row.name}")
    if len(ranking.rows) > top:
        click.echo(f"{'...':>8}  {len(ranking.rows) - top} more")
    for name, reason in ranking.rejected:
        click.echo(f"  rejected  {name}: {reason}", err=True)
    click.echo(f"Scored {len(ranking.rows)}, rejected {len(ranking.rejected)}.")
    if len({row.size for row in ranking.rows}) > 1:
        click.echo("Squares of different size were scored; pass --size to compare them.", err=True)
    if table is not None:
        click.echo(f"Table: {table}")
