"""`pggan import`: networks of the released TensorFlow program."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("import")
@click.argument("pickle", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A run folder, or FILE.safetensors for the generator alone.",
)
def import_networks(pickle: Path, out: Path) -> None:
    """Bring the networks of PICKLE, a file of the released TensorFlow program, into our form.

    Nothing in the file is run: it is read by an interpreter that knows numbers, text, containers and arrays, and that
    refuses everything else.
    """
    from celebahq_tools.errors import InputError
    from pggan_core.generator_file import write_generator
    from pggan_core.tf_import import read_networks, to_generator, write_run

    networks = read_networks(pickle)
    height, width = networks.config.resolution(networks.config.levels)
    labels = f", {networks.config.labels} labels" if networks.config.labels else ""
    click.echo(f"{pickle}: networks of {width}x{height}{labels}, lod {networks.lod:g}")
    if out.suffix == ".safetensors":
        if not out.parent.is_dir():
            raise InputError(f"{out}: the folder {out.parent} does not exist; create it or write elsewhere")
        write_generator(out, to_generator(networks))
        click.echo(f"{out}: the generator; draw with: pggan generate {out} --out grid.png")
    else:
        click.echo(f"{write_run(networks, out)}: go on with: pggan train --run-dir {out} --resume auto --data DATASET")
