"""`celebahq build`: photographs to dataset."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from celebahq_cli.celebahq_options import COMPRESSIONS
from celebahq_cli.celebahq_report import report_build
from celebahq_cli.failures import report_failures

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--in", "input", type=PATH, help="Folder of photographs, in CelebA's layout or any.  [required]")
@click.option("--out", type=PATH, help="HDF5 file to make.  [required]")
@click.option(
    "--landmarks",
    metavar="FILE|detect",
    help="Landmarks: a file (CelebA's text, CSV or JSON), or detect.  [default: the file of CelebA's layout]",
)
@click.option("--faces", type=click.Choice(["largest", "all"]), help="Which detected faces.  [default: largest]")
@click.option("--alignment", type=click.Choice(["celebahq", "ffhq"]), help="Whose crop.  [default: celebahq]")
@click.option(
    "--guards",
    metavar="NAMES|all|none",
    help="Guards: landmarks,detector,border,duplicates,blockiness; no-NAME,... .  [default: no-duplicates]",
)
@click.option("--min-photo", type=float, help="Guard border: least part that is photograph.  [default: 0.55]")
@click.option("--mirrored", is_flag=True, default=None, help="Guard duplicates: mirror images are duplicates as well.")
@click.option(
    "--select", type=PATH, help="Take exactly the photographs that FILE lists, in its order (image_list.txt)."
)
@click.option("--only", metavar="A:B", help="Work on the photographs from position A to B of the source only.")
@click.option("--limit", type=int, help="Work on the first N photographs only.  [default: all]")
@click.option("--keep", type=int, help="Keep the best N faces.  [default: 30000]")
@click.option("--size", type=int, help="Side of the faces, a power of two from 64 to 1024.  [default: 1024]")
@click.option("--dejpeg", metavar="NAME|PATH|none", help="JPEG artifact removal.  [default: jpeg-resnet]")
@click.option("--sr", metavar="NAME|PATH|none", help="Super-resolution of small faces.  [default: realsr-df2k]")
@click.option("--resample", type=click.Choice(["box", "lanczos"]), help="Final downsampling filter.  [default: box]")
@click.option("--compression", type=click.Choice(COMPRESSIONS), help="Of the HDF5 file.  [default: gzip]")
@click.option("--workers", type=int, help="Worker processes.  [default: one per core]")
@click.option("--backend", type=click.Choice(["loky", "dask", "ray"]), help="Where workers run.  [default: loky]")
@click.option("--scheduler", metavar="ADDRESS", help="The cluster's, such as tcp://10.0.0.1:8786, for --backend dask.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where the nets run.  [default: auto]")
@click.option("--gpus", metavar="N|LIST", help="How many GPUs run nets, or which: 0,2.  [default: all]")
@click.option("--net-processes", type=int, hidden=True, help="Run nets in N CPU processes, as on N GPUs.")
@click.option("--work", type=PATH, help="Folder for unfinished work, kept at the end.  [default: OUT.work, removed]")
@click.option("--config", type=PATH, help="TOML file with any of these settings; flags override it.")
@click.option("--overwrite", is_flag=True, default=None, help="Replace an existing OUT.")
@click.option("--report/--no-report", "report", default=True, help="Make OUT's name with .report.html.  [default: yes]")
@click.option("--dry-run", is_flag=True, help="Print the settings and the plan, and stop.")
def build(config: Path | None, dry_run: bool, report: bool, **flags: object) -> None:
    """Build a multi-resolution HDF5 dataset of aligned faces.

    Each photograph is cleaned of JPEG artifacts, super-resolved, padded, cropped along its landmarks and scored;
    the best are kept. A manifest, OUT's name with .manifest.csv, says what became of every photograph, and a report
    shows it. A build that was stopped goes on when the same command is run again.
    """
    with report_failures("run the same command again to go on, finished work is kept"):
        from celebahq_cli.progress import BuildProgress
        from celebahq_tools.build_config import BuildConfig
        from celebahq_tools.config import format_config, resolve_config
        from celebahq_tools.pipeline import plan_build, run_build

        settings = resolve_config(BuildConfig, file=config, flags=flags)
        click.echo(f"Settings:\n{format_config(settings)}")
        plan = plan_build(settings)
        rule = f"keep the best {settings.keep}" if plan.order is None else f"in the order of {settings.select}"
        click.echo(
            f"Plan: {len(plan.items)} photographs or landmark rows, {rule};\n"
            f"  JPEG removal      {plan.settings['dejpeg']}\n  super-resolution  {plan.settings['sr']}\n"
            f"  disk              up to {plan.estimate_disk() / 2**20:,.0f} MiB "
            f"in {settings.work_folder} and {settings.out}"
        )
        if dry_run:
            return
        with BuildProgress() as progress:
            summary = run_build(settings, progress, look_back=partial(report_build, settings) if report else None)
    click.echo(
        f"Found {summary.found}, ranked {summary.ranked}, kept {summary.kept} (score >= {summary.threshold:.4f})."
    )
    for reason, count in summary.rejected.items():
        click.echo(f"  rejected {count:>6}  {reason}")
    if settings.work is None and summary.work.is_dir():
        click.echo(
            f"{summary.work} was kept: run the same command with --overwrite to try the internal failures again."
        )
    click.echo(f"Dataset:  {summary.out}\nManifest: {summary.manifest}")
