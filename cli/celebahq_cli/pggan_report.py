"""`pggan report`: the page of a training run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="HTML file.  [default: RUN/report.html]")
def report(run: Path, out: Path | None) -> None:
    """Make one HTML page of a training RUN: scores, samples over time, losses, speed and settings.

    RUN may still be running, or be damaged: what can be read is shown, and what is missing is said.
    """
    from celebahq_cli.swd_options import check_targets
    from celebahq_tools.errors import StoreError
    from celebahq_tools.pages.page import write_page
    from pggan_core.run_page import render_run_page

    target = out or run / "report.html"
    if out is not None:
        check_targets(out)
    page = render_run_page(run)
    try:
        write_page(target, page)
    except OSError as error:
        raise StoreError(f"{target}: cannot write the page: {error.strerror}; choose another --out") from None
    click.echo(f"{target} ({len(page.encode()) / 1e6:.1f} MB)")
