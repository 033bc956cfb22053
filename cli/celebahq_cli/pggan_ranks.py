"""`pggan train` as one of several processes that torchrun started: the first speaks and decides for all."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from celebahq_cli.pggan_run import describe, run
from celebahq_tools.config import config_to_json, resolve_config
from pggan_core.config import TrainConfig
from pggan_core.distributed import LeaderReportsError, RankLostError, Ranks, open_ranks
from pggan_core.trainer import TrainingDivergedError


def run_together(prepare: Callable[[], tuple[TrainConfig, Path]], resume: str | None, *, dry_run: bool) -> bool:
    """Join the other processes and train with them.

    Args:
        prepare: Resolves settings and folder; only the first process calls it, whose files count.
        resume: As for :func:`celebahq_cli.pggan_run.run`.
        dry_run: Stop before training.
    Returns:
        False if the run was stopped early.
    Raises:
        SystemExit: On a process that has nothing to add to the first one's message.
    """
    with open_ranks() as ranks:
        try:
            return _train(ranks, prepare, resume, dry_run=dry_run)
        except LeaderReportsError:
            sys.exit(1)
        except TrainingDivergedError:
            # All of them found out at the same step.
            if ranks.is_leader:
                raise
            sys.exit(1)
        except RankLostError as error:
            raise RankLostError(f"rank {ranks.rank}: {error}") from None


def _train(ranks: Ranks, prepare: Callable[[], tuple[TrainConfig, Path]], resume: str | None, *, dry_run: bool) -> bool:
    settled: list[str] = []

    def settle() -> None:
        config, folder = prepare()
        click.echo(f"{ranks.count} processes\n{describe(config, dry_run=dry_run)}")
        settled.extend((config_to_json(config), str(folder)))

    ranks.lead(settle)
    stored, folder = json.loads(ranks.exchange(json.dumps(settled))[0])
    config = resolve_config(TrainConfig, preset=json.loads(stored))
    return dry_run or run(config, Path(folder), resume, ranks)
