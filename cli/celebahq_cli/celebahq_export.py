"""`celebahq export`: a dataset in another program's format."""

from __future__ import annotations

from pathlib import Path

import click

from celebahq_cli.failures import report_failures

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=PATH)
@click.option("--to", required=True, metavar="FORMAT", help="png, stylegan-zip, npz, tfrecords or webdataset.")
@click.option("--out", type=PATH, required=True, help="File or folder to make.")
@click.option("--size", type=click.IntRange(min=1), help="Height of the level to export.  [default: the largest]")
@click.option("--png-level", type=click.IntRange(0, 9), default=1, show_default=True, help="Compression of PNG files.")
@click.option("--shard", type=click.IntRange(min=1), default=1000, show_default=True, help="Images to a shard.")
@click.option("--workers", type=click.IntRange(min=1), help="Encoding threads.  [default: one per core]")
@click.option("--overwrite", is_flag=True, help="Replace an existing OUT.")
def export(
    file: Path, to: str, out: Path, size: int | None, png_level: int, shard: int, workers: int | None, overwrite: bool
) -> None:
    """Write a dataset in another program's format, with its labels.

    FILE is a multi-resolution HDF5 dataset. Order and pixels stay as they are. OUT appears only when it is whole.
    """
    with report_failures("nothing was left at --out; run the same command again"):
        from celebahq_cli.progress import BuildProgress
        from celebahq_tools.exporting import ExportConfig, run_export

        config = ExportConfig(file, to, out, size, png_level, shard, workers or 0, overwrite)
        with BuildProgress() as progress:
            count = run_export(config, progress)
    click.echo(f"Exported {count} images: {out}")
