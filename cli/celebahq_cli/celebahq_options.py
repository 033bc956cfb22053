"""Options that several commands of `celebahq` share."""

from __future__ import annotations

import click

# Listed here, not taken from the store, which imports numpy; a test compares the two.
COMPRESSIONS = ("gzip", "lzf", "blosc", "none")

compression_option = click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    default="gzip",
    show_default=True,
    help="Of the HDF5 file; every reader of HDF5 reads gzip.",
)
