"""What a seed may be: the same for every command that feeds torch, numpy and both."""

from __future__ import annotations

import click

SEED = click.IntRange(0, 2**63 - 1)
