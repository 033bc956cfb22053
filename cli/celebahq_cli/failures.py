"""How a command ends when something goes wrong: one clear message, a remedy, and a meaningful exit code."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from celebahq_tools.errors import CelebahqError

INTERRUPTED = 130

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "no permission; choose a folder you may write to",
    errno.EPERM: "no permission; choose a folder you may write to",
    errno.EIO: "the disk reports an input/output error",
    errno.EMFILE: "too many open files; raise the limit with `ulimit -n`",
}


class Program(click.Group):
    """A group of commands that end in one line on a foreseen error, and in exit code 130 on Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with report_failures():
            return super().invoke(ctx)


@contextmanager
def report_failures(then: str = "") -> Iterator[None]:
    """Turn foreseen errors into messages without a traceback.

    Args:
        then: What the user does next, such as how to go on; ends messages about the machine and about Ctrl-C.
    Raises:
        click.ClickException: Exit code 1, with the message.
        click.exceptions.Exit: Exit code 130 after Ctrl-C.
    """
    ending = f"; {then}" if then else ""
    try:
        yield
    except CelebahqError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted{ending}.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
        raise click.ClickException(f"{where}{remedy}{ending}") from None
