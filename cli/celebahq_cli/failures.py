"""How a command ends when something goes wrong: one clear message, a remedy, and a meaningful exit code."""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

from celebahq_tools.errors import CelebahqError

INTERRUPTED = 130
# As a shell shows a program that SIGPIPE ended.
PIPE_CLOSED = 141

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
    """A group of commands that end in one line on a foreseen error, in code 130 on Ctrl-C, in 141 on a closed pipe."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the command line, which may print help."""
        with report_failures():
            return super().make_context(*args, **extra)

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
        click.exceptions.Exit: Exit code 130 after Ctrl-C; 141, and no message, when nobody reads the output any more.
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
        if isinstance(error, BrokenPipeError) and _silence_closed_pipes():
            raise click.exceptions.Exit(PIPE_CLOSED) from None
        where = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
        raise click.ClickException(f"{where}{remedy}{ending}") from None


def _silence_closed_pipes() -> bool:
    """Lead output that nobody reads into nothing, else Python complains at its end; return whether there was any.

    A broken pipe to a worker process is another matter: that one has died, and its user should know.
    """
    closed = [stream for stream in (sys.stdout, sys.stderr) if stream is not None and _is_closed_pipe(stream)]
    for stream in closed:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    return bool(closed)


def _is_closed_pipe(stream: TextIO) -> bool:
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # not a stream of the system, as in tests
        return False
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
