"""`celebahq report`: one page that shows whether a dataset is good."""

from __future__ import annotations

from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import click

from celebahq_tools.report import report_path

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from celebahq_tools.build_config import BuildConfig
    from celebahq_tools.pipeline import BuildSummary

PATH = click.Path(path_type=Path)
# A build ends with few strips: each takes as long as building its face did.
_STRIPS_OF_A_BUILD = 3
# How long the process of a report that was told to stop may take to do so.
_GRACE_SECONDS = 5


@click.command()
@click.argument("source", metavar="WORK|FILE", type=PATH)
@click.option("--out", type=PATH, help="HTML file to write.  [default: FILE's name with .report.html]")
@click.option("--photos", type=PATH, help="Folder of the photographs.  [default: the one a WORK folder names]")
@click.option("--strips", type=int, default=6, show_default=True, help="Faces with their steps; the nets run again.")
@click.option("--shown", type=int, default=12, show_default=True, help="Best, worst, borderline, random: of each.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random faces.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where the nets run.")
def report(source: Path, out: Path | None, photos: Path | None, **flags: int | str) -> None:
    """Write a report of a dataset: one HTML file that needs no network.

    Counts, scores with the cut, the best, worst and borderline faces, every face on one sheet to sort and filter, what
    was rejected and why, near duplicates, distributions, provenance, and how to cite. An opened face shows its spectrum
    and, where the photographs are at hand, every step that made it.
    """
    from celebahq_cli.progress import ReportProgress
    from celebahq_tools.report.build import ReportOptions, write_report
    from celebahq_tools.report.view import open_view

    options = ReportOptions(**flags)  # type: ignore[arg-type]
    out = out or report_path(source)
    view = open_view(source)
    try:
        with ReportProgress() as progress:
            write_report(view, out, photos=photos, options=options, progress=progress)
    finally:
        view.close()
    click.echo(f"Report: {out} ({out.stat().st_size / 1e6:.1f} MB)")


def report_build(config: BuildConfig, summary: BuildSummary) -> None:
    """Write the report of a finished build; a report that fails is told of and stops nothing.

    It is made in a process of its own: thumbnails of all faces, tables and nets are not the build's memory, and should
    the system kill for want of it, the dataset is finished and the command ends well.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send_report, args=(config, summary.kept > 0, sender), daemon=True)
    try:
        child.start()
        sender.close()  # else the end of a killed child would go unnoticed
        reason = receiver.recv()
    except EOFError:
        child.join()
        reason = f"its process ended with status {child.exitcode}"
    except (OSError, KeyboardInterrupt) as error:
        reason = str(error) or type(error).__name__
    finally:
        receiver.close()
        if child.pid is not None:
            child.join(_GRACE_SECONDS)
            child.kill()
    if reason:
        click.echo(f"Report:   not made ({reason}); celebahq report {config.out} makes it", err=True)
    else:
        click.echo(f"Report:   {report_path(config.out)}")


def _send_report(config: BuildConfig, has_dataset: bool, sender: Connection) -> None:
    """Write the report of a build and send why it could not be made, or an empty text."""
    reason = ""
    try:
        from celebahq_cli.progress import ReportProgress
        from celebahq_tools.report.build import ReportOptions, write_report
        from celebahq_tools.report.view import WorkView

        view = WorkView(config.work_folder, dataset=config.out if has_dataset else None)
        try:
            with ReportProgress() as progress:
                options = ReportOptions(strips=_STRIPS_OF_A_BUILD, device=config.device)
                write_report(view, report_path(config.out), options=options, progress=progress)
        finally:
            view.close()
    # The dataset is finished: whatever happens to the page about it, the build has succeeded.
    except (Exception, KeyboardInterrupt) as error:
        reason = str(error) or type(error).__name__
    with suppress(OSError):  # Ctrl-C ends the build's process as well
        sender.send(reason)
