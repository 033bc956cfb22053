"""`celebahq status`: how far a build is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from celebahq_cli.failures import report_failures


@click.command()
@click.argument("work", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def status(work: Path, as_json: bool) -> None:
    """Print how far a build is, while it runs or after it stopped.

    WORK is the work folder of the build, or its --out file: progress, rate, time left, rejections by reason, and where
    the time goes.
    """
    with report_failures():
        from celebahq_tools.status import read_status

        found = read_status(work)
    if as_json:
        click.echo(json.dumps({**asdict(found), "work": str(found.work)}, indent=2))
        return
    share = found.done / found.found if found.found else 1.0
    ending = f" ({found.outcome})" if found.state == "stopped" else ""
    click.echo(f"{found.work}: {found.state}{ending}, started {found.runs} times; makes {found.out}")
    written = f", {found.written} in the dataset" if found.written else ""
    click.echo(
        f"  photographs  {found.done} of {found.found} done ({share:.1%}), {found.waiting} faces waiting{written}"
    )
    left = "unknown" if found.seconds_left is None else _format_seconds(found.seconds_left)
    click.echo(f"  rate         {found.rate:.2f} a second over the last ten minutes, time left {left}")
    for name, seconds in sorted(found.stage_seconds.items(), key=lambda pair: -pair[1]):
        click.echo(f"  {name:<12} {seconds:.3f} s a photograph")
    for reason, count in found.rejected.items():
        click.echo(f"  rejected {count:>6}  {reason}")
    if found.state in ("stopped", "killed"):
        click.echo("Run the same build command again to go on.")


def _format_seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (
        f"{days} days {hours} h" if days else f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
    )
