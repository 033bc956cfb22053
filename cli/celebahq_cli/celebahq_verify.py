"""`celebahq verify` and `celebahq info`: whether a dataset is sound, and what it is."""

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


@click.command()
@click.argument("file", type=PATH)
@click.option("--show", type=click.IntRange(min=1), default=20, show_default=True, help="Problems to print.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads.  [default: one per core]")
def verify(file: Path, show: int, workers: int | None) -> None:
    """Check a dataset whole: every chunk, every level, the labels and every row of the manifest.

    Decompresses every image, compares each smaller level with the mean of the largest, and finds truncated files,
    flipped bytes, missing chunks, and rows without images. Exits with 1 if anything is wrong.
    """
    with report_failures():
        from celebahq_cli.progress import BuildProgress
        from celebahq_tools.store.verify import verify_dataset

        with BuildProgress() as progress:
            report = verify_dataset(file, progress, workers=workers or 0)
    checked = f"{report.images} images, {report.levels} levels, {report.chunks} chunks, {report.rows} manifest rows"
    if not report.findings:
        click.echo(f"{file}: sound. Checked {checked}.")
        return
    for finding in report.findings[:show]:
        click.echo(f"  {finding}")
    if len(report.findings) > show:
        click.echo(f"  and {len(report.findings) - show} more; --show prints more")
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    raise click.ClickException(f"{file}: damaged ({counts}). Checked {checked}. Rebuild it or copy it again.")
