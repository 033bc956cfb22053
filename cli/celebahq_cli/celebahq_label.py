"""`celebahq label`: attributes of the photographs as labels of the dataset."""

from __future__ import annotations

from pathlib import Path

import click

from celebahq_cli.failures import report_failures

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=PATH)
@click.option("--attributes", type=PATH, required=True, help="CelebA's list_attr_celeba.txt or its CSV form.")
@click.option("--overwrite", is_flag=True, help="Replace labels that are there.")
def label(file: Path, attributes: Path, overwrite: bool) -> None:
    """Give a built dataset the attributes of its photographs.

    FILE's manifest says which photograph each image came from. Writes FILE's name with -labels.npy: float32, a row per
    image, 1 where the photograph has the attribute and 0 where not. Exports and the trainer take it from there.
    """
    with report_failures():
        from celebahq_tools.labelling import label_dataset

        out, names = label_dataset(file, attributes, overwrite=overwrite)
    click.echo(f"Labels: {out}\nColumns: {' '.join(names)}")
