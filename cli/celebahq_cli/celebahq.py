"""The `celebahq` command: build datasets and look into them."""

from __future__ import annotations

from pathlib import Path

import click

from celebahq_cli.celebahq_build import build
from celebahq_cli.celebahq_export import export
from celebahq_cli.celebahq_import import import_
from celebahq_cli.celebahq_label import label
from celebahq_cli.celebahq_rank import rank
from celebahq_cli.celebahq_report import report
from celebahq_cli.celebahq_reselect import calibrate, reselect
from celebahq_cli.celebahq_restore import restore
from celebahq_cli.celebahq_serve import serve
from celebahq_cli.celebahq_status import status
from celebahq_cli.celebahq_verify import info, verify
from celebahq_cli.failures import Program

PATH = click.Path(path_type=Path)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="celebahq-tools")
def main() -> None:
    """Build CelebA-HQ-class datasets from in-the-wild photographs."""


main.add_command(build)
main.add_command(rank)
main.add_command(reselect)
main.add_command(calibrate)
main.add_command(status)


@main.command()
@click.argument("image", type=PATH)
@click.option(
    "--landmarks",
    required=True,
    metavar="POINTS|FILE|detect",
    help="Ten numbers x,y,x,y,..., a landmark file naming IMAGE, or detect.",
)
@click.option("--out", type=PATH, help="Picture to save.  [default: IMAGE's name with .stages.png, here]")
@click.option("--size", type=int, help="Side of the face.  [default: 1024]")
@click.option("--dejpeg", metavar="NAME|PATH|none", help="As for build.")
@click.option("--sr", metavar="NAME|PATH|none", help="As for build.")
@click.option("--resample", type=click.Choice(["box", "lanczos"]), help="As for build.")
@click.option("--alignment", type=click.Choice(["celebahq", "ffhq"]), help="As for build.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="As for build.")
def inspect(image: Path, landmarks: str, out: Path | None, **flags: object) -> None:
    """Save one picture that shows every step of one face, with its score.

    The steps of the paper's Figure 8: input, JPEG artifact removal, 4x, mirror padding, blur, and the final face;
    below each, the same detail enlarged.
    """
    from celebahq_tools.build_config import DETECT, BuildConfig
    from celebahq_tools.config import resolve_config
    from celebahq_tools.inspection import inspect_photo, parse_landmarks
    from celebahq_tools.pictures.canvas import save_picture

    out = out or Path(f"{image.stem}.stages.png")
    # Somebody who looks wants to see the face, whatever a guard would say of it.
    guards = ("blockiness",)
    source = landmarks if landmarks == DETECT else None
    settings = resolve_config(
        BuildConfig, flags={"input": image.parent, "out": out, "guards": guards, "landmarks": source, **flags}
    )
    picture, score = inspect_photo(image, parse_landmarks(landmarks, image.name), settings)
    save_picture(picture, out)
    click.echo(f"score {score.value:.4f}  " + "  ".join(f"{k} {v:.4f}" for k, v in score.components.items()))
    click.echo(f"Picture: {out}")


@main.command()
@click.argument("file", type=PATH)
@click.option("--out", type=PATH, help="Picture to save.  [default: FILE's name with .contact.png]")
@click.option("--count", type=click.IntRange(min=1), default=100, show_default=True, help="Faces to show.")
@click.option("--columns", type=click.IntRange(min=1), default=10, show_default=True, help="Faces in a row.")
@click.option("--thumb", type=click.IntRange(16, 1024), default=128, show_default=True, help="Side of a face.")
def sheet(file: Path, out: Path | None, count: int, columns: int, thumb: int) -> None:
    """Save a contact sheet of a dataset, the best score first."""
    from celebahq_tools.pictures.canvas import save_picture
    from celebahq_tools.pictures.contact_sheet import draw_dataset_sheet
    from celebahq_tools.store.reader import DatasetReader

    out = out or file.with_suffix(".contact.png")
    with DatasetReader(file) as reader:
        save_picture(draw_dataset_sheet(reader, count=count, columns=columns, thumb=thumb), out)
    click.echo(f"Picture: {out}")


@main.command()
def weights() -> None:
    """List the pretrained weights: where each is found, its licence, and the command that installs it."""
    from celebahq_tools.errors import WeightsError
    from celebahq_tools.weights import find_weights, list_weights

    for entry in list_weights().values():
        click.echo(f"{entry.name}  ({entry.task})\n  {entry.title}\n  licence: {entry.licence}")
        try:
            click.echo(f"  found:   {find_weights(entry.name)}")
        except WeightsError as error:
            click.echo(f"  missing: {error}")


@main.command()
@click.argument("folder", type=PATH)
def sample(folder: Path) -> None:
    """Make a small folder of in-the-wild photographs in CelebA's layout, to try things on.

    Variations of two public-domain portraits that installed packages carry: several sizes, JPEG qualities,
    rotations, faces cut by the border, and two entries that a build has to reject.
    """
    from celebahq_tools.source.samples import write_sample_folder

    count = write_sample_folder(folder)
    click.echo(f"Photographs: {count} in {folder}\nTry: celebahq build --in {folder} --out faces.h5")


main.add_command(export)
main.add_command(import_)
main.add_command(info)
main.add_command(label)
main.add_command(restore)
main.add_command(verify)
main.add_command(report)
main.add_command(serve)
