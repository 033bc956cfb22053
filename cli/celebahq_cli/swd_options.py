"""Options and error handling that the `swd` commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from celebahq_cli.seeds import SEED
from celebahq_tools.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_size(ctx: click.Context, param: click.Parameter, value: str) -> int:  # noqa: ARG001
    """Return bytes of a size such as 800M or 4G."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", value.strip(), re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise click.BadParameter(f"{value!r} is not a size; write 800M or 4G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def parse_names(known: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    """Return a callback that splits comma-separated names and refuses unknown ones."""

    def parse(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:  # noqa: ARG001
        names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise click.BadParameter(f"{', '.join(unknown) or 'nothing'}: choose from {', '.join(known)}")
        return names

    return parse


def check_targets(*paths: Path | None) -> None:
    """Refuse files that could not be written at the end, before the work begins.

    Raises:
        ConfigError: If a folder does not exist.
    """
    for path in paths:
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"{path}: no such folder {path.parent}; make it first")


def metrics_option(known: tuple[str, ...]) -> Callable[[F], F]:
    """Return the option that chooses metrics."""
    text = f"Comma-separated, of {', '.join(known)}."
    return click.option(
        "--metrics", "names", callback=parse_names(known), default="swd", metavar="NAMES", show_default=True, help=text
    )


def add_reading_options(command: F) -> F:
    """Add the options about which images are read and how."""
    options = [
        click.option("--num-images", type=click.IntRange(min=1), help="Images per set.  [default: 16384]"),
        click.option("--size", type=click.IntRange(min=1), help="Level of an HDF5 file; with --resize, the height."),
        click.option("--resize", is_flag=True, help="Reduce larger images by an antialiased Lanczos filter."),
        click.option("--skip-bad", is_flag=True, help="Go on without unreadable images, naming them."),
        click.option(
            "--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Images read at once."
        ),
        click.option("--seed", type=SEED, default=0, show_default=True, help="Source of randomness."),
        click.option("--device", default="cpu", show_default=True, help="Torch device for feature nets."),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            default=lambda: os.cpu_count() or 1,
            show_default="all cores",
            help="Threads; the results do not depend on it.",
        ),
        click.option(
            "--max-memory",
            callback=parse_size,
            metavar="SIZE",
            default="4G",
            show_default=True,
            help="For descriptors and projections of SWD; beyond it they go to a temporary file.",
        ),
        click.option(
            "--inception-weights",
            type=click.Path(dir_okay=False),
            help="Your own InceptionV3 weights with logits (safetensors or torch state dict).",
        ),
        click.option("--floor/--no-floor", default=True, show_default=True, help="Also score reals against reals."),
    ]
    for option in reversed(options):
        command = option(command)
    return command
