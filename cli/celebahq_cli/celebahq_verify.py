"""`celebahq info`: what a dataset is."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from celebahq_cli.failures import report_failures

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def info(file: Path, as_json: bool) -> None:
    """Print what a dataset is: images, levels, compression, labels, settings, and what became of its sources."""
    with report_failures():
        from celebahq_tools.store.description import describe_dataset

        found = describe_dataset(file)
    if as_json:
        click.echo(json.dumps({**asdict(found), "path": str(found.path), "images": len(found)}, indent=2))
        return
    _, channels, height, width = found.levels[0].shape
    kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    click.echo(f"{file}: multi-resolution HDF5 dataset, {found.file_bytes / 2**20:,.1f} MiB")
    click.echo(f"  images      {len(found)} of {width}x{height}, {kind}, uint8")
    for level in found.levels:
        ratio = level.stored_bytes / max(level.raw_bytes, 1)
        filters = " + ".join(level.filters) or "no compression"
        click.echo(f"  {level.name:<14} {level.stored_bytes / 2**20:>10,.2f} MiB  {ratio:>5.0%} of raw  {filters}")
    click.echo(f"  labels      {found.labels or 'none'}")
    click.echo("  layout      " + ("; ".join(found.differences) or "the original's"))
    for name, value in sorted(found.attributes.items()):
        click.echo(f"  {name:<24} {value}")
    if found.statuses:
        click.echo(
            "  manifest    " + ", ".join(f"{count} {status}" for status, count in sorted(found.statuses.items()))
        )
        for reason, count in found.reasons.items():
            click.echo(f"    rejected {count:>6}  {reason}")
