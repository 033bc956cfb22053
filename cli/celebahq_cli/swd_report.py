"""The page of `swd score --report`."""

from __future__ import annotations

from pathlib import Path

import click
from gan_metrics.earlier_score import EarlierScore
from gan_metrics.score_page import ScoreReport, render_score_page

from celebahq_cli.swd_score import Outcome
from celebahq_tools.errors import StoreError
from celebahq_tools.pages.page import write_page


def write_score_page(path: Path, outcome: Outcome, seed: int, earlier: EarlierScore | None) -> None:
    """Write the page of a score.

    Raises:
        StoreError: If the file cannot be written.
    """
    page = render_score_page(
        ScoreReport(
            results=outcome.results,
            reals=outcome.reals,
            fakes=outcome.fakes,
            seed=seed,
            projections=outcome.projections,
            previews=outcome.previews,
            skipped=outcome.skipped,
            earlier=earlier,
        )
    )
    try:
        write_page(path, page)
    except OSError as error:
        raise StoreError(f"{path}: cannot write the page: {error.strerror}; choose another --report") from None
    click.echo(f"\n{path} ({len(page.encode()) / 1e6:.1f} MB)")
