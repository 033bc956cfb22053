"""`celebahq restore`: run, train and compare the nets that remove JPEG artifacts and enlarge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from celebahq_cli.failures import report_failures

PATH = click.Path(path_type=Path)
# Written out, so that --help imports no torch; a test compares them with the registries.
NET_NAMES = ("rednet-l", "rednet-m", "rednet-s", "rednet-xs", "srres-m", "srres-s", "srres-xs")
TASKS = ("dejpeg", "sr")
PICTURE_SUFFIX = ".png"


@click.group()
def restore() -> None:
    """Remove JPEG artifacts and enlarge pictures; train and compare the nets that do it."""


@restore.command()
@click.argument("input", type=PATH, metavar="IN")
@click.argument("output", type=PATH, metavar="OUT")
@click.option("--dejpeg", metavar="NAME|PATH|none", help="JPEG artifact removal.  [default: as for build]")
@click.option("--sr", metavar="NAME|PATH|none", default="none", show_default=True, help="Enlargement, afterwards.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:<number> or auto.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True,
              help="Arithmetic; the halves are for GPUs.")  # fmt: skip
@click.option("--compile", is_flag=True, help="Use torch.compile: slow to start, for many pictures of one size.")
def run(input: Path, output: Path, dejpeg: str | None, sr: str, **how: Any) -> None:
    """Restore the picture IN to OUT, or every picture of the folder IN to a PNG in the folder OUT.

    Pictures that cannot be read are passed over and listed; OUT's existing files are replaced.
    """
    with report_failures():
        from celebahq_cli.celebahq_restore_run import restore_pictures

        restored, failed = restore_pictures(input, output, dejpeg=dejpeg, sr=sr, **how)
    click.echo(f"Restored {restored} to {output}, passed over {len(failed)}.")
    for path, reason in failed:
        click.echo(f"  {path}: {reason}")
    if failed and not restored:
        raise click.exceptions.Exit(1)


@restore.command()
@click.option("--task", type=click.Choice(TASKS), help="What the net is to do.  [required]")
@click.option("--photos", type=PATH, multiple=True, help="Folder of photographs; may be repeated.  [required]")
@click.option("--validation", type=PATH, multiple=True, help="Folder to measure on.  [default: every tenth photograph]")
@click.option("--run-dir", type=PATH, help="Folder of the run.  [required]")
@click.option("--net", type=click.Choice(NET_NAMES), help="Size of the net.  [default: rednet-s, srres-s]")
@click.option("--init", type=PATH, help="Weight file to start from.")
@click.option("--steps", type=int, help="Steps in all.  [default: 20000]")
@click.option("--batch", type=int, help="Patches per step.  [default: 8]")
@click.option("--patch", type=int, help="Side of the patches as the net sees them.  [default: 64]")
@click.option("--optimizer", type=click.Choice(["muon", "adam"]), help="[default: muon]")
@click.option("--rate", type=float, help="Learning rate.  [default: 0.001]")
@click.option("--decay", type=float, help="Part of the steps over which the rate falls.  [default: 0.4]")
@click.option("--loss", type=click.Choice(["distance", "psnr"]), help="[default: distance]")
@click.option("--temper", type=float, help="dejpeg by distance: power of the damage that divides.  [default: 0.5]")
@click.option("--adversarial", type=float, help="Weight of the adversarial loss.  [default: 0]")
@click.option("--matching", type=float, help="Weight of the feature matching loss.  [default: 0]")
@click.option("--downscale", type=float, help="Least reduction of the photographs.  [default: 2]")
@click.option("--vary", type=float, help="How often photographs get other sharpness, tones, colours.  [default: 0]")
@click.option("--strong-odds", type=float, help="dejpeg: how often low qualities are favoured.  [default: 0.5]")
@click.option("--middle-odds", type=float, help="dejpeg: how often qualities 15 to 80 are favoured.  [default: 0]")
@click.option("--jpeg-odds", type=float, help="sr: how often the small image is a JPEG.  [default: 0.7]")
@click.option("--dejpeg", metavar="NAME|PATH|none", help="sr: half of the small JPEGs pass it.  [default: none]")
@click.option("--seed", type=int, help="Seed of everything random.  [default: 0]")
@click.option("--checkpoint-every", type=int, help="Steps between checkpoints.  [default: 1000]")
@click.option("--validate-every", type=int, help="Steps between measurements.  [default: 500]")
@click.option("--keep", type=int, help="Checkpoints kept.  [default: 2]")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:<number> or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of torch.  [default: torch's]")
@click.option("--config", type=PATH, help="TOML file with any of these settings; flags override it.")
def train(config: Path | None, device: str, threads: int | None, **flags: Any) -> None:
    """Train a restoration net on photographs, or go on with the run in --run-dir.

    An interruption only pauses: the same command goes on from the newest checkpoint, bit for bit on one thread. The
    weight file RUN_DIR/weights.safetensors is written with every checkpoint and can be given to --dejpeg or --sr.
    """
    with report_failures("run the same command again to go on"):
        from celebahq_cli.progress import StepProgress
        from celebahq_tools.config import format_config, resolve_config
        from celebahq_tools.restore.training.config import RestoreTrainConfig

        for name in ("photos", "validation"):
            flags[name] = flags[name] or None
        settings = resolve_config(RestoreTrainConfig, file=config, flags=flags)
        click.echo(f"Settings:\n{format_config(settings)}")

        import torch

        from celebahq_tools.restore.training.trainer import train_restorer

        if threads is not None:
            torch.set_num_threads(threads)
        with StepProgress() as progress:
            result = train_restorer(settings, progress, device=device)
    gains = "  ".join(f"{label} {gain:+.2f} dB" for label, gain in result.gains.items())
    click.echo(f"Steps:   {result.steps}\nGain:    {gains}\nCurve:   {result.curve}\nWeights: {result.weights}")


@restore.command()
@click.argument("methods", nargs=-1, metavar="NAME|PATH...")
@click.option("--task", type=click.Choice(TASKS), required=True, help="What to compare for.")
@click.option("--photos", type=PATH, multiple=True, required=True, help="Folder of photographs; may be repeated.")
@click.option("--qualities", default=None, help="JPEG qualities.  [default: 10,20,40,75,95; sr: 50,75,90]")
@click.option("--side", type=click.IntRange(min=32), default=256, show_default=True, help="Side of the crops.")
@click.option("--per-photo", type=click.IntRange(min=1), default=1, show_default=True, help="Crops of a photograph.")
@click.option(
    "--downscale", type=click.FloatRange(min=1), default=2.0, show_default=True, help="Least reduction first."
)
@click.option("--dejpeg", metavar="NAME|PATH|none", default="none", show_default=True, help="sr: removal before it.")
@click.option("--out", type=PATH, help="File for the tables, as Markdown.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:<number> or auto.")
def evaluate(methods: tuple[str, ...], **options: Any) -> None:
    """Compare restorers on photographs: PSNR, SSIM, SWD of 7x7 patches and CPU seconds per output megapixel.

    Without a NAME all registered ones whose weights are installed are compared.
    """
    with report_failures():
        from celebahq_cli.celebahq_restore_run import evaluate_restorers

        out = options.pop("out")
        text = evaluate_restorers(methods, **options)
        click.echo(text)
        if out is not None:
            from celebahq_tools.atomic import write_text_atomically

            write_text_atomically(out, text + "\n")
