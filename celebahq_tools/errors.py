"""Errors that a user can act on: each message says what is wrong, where, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CelebahqError(Exception):
    """Base of every error this project raises on purpose; commands print it without a traceback."""


class ConfigError(CelebahqError):
    """An option, preset or configuration file is wrong."""


class InputError(CelebahqError):
    """A file or folder given by the user cannot be used."""


class ShapeError(CelebahqError):
    """An array has the wrong shape, type or range."""


class WeightsError(CelebahqError):
    """Pretrained weights are missing, damaged or not the expected ones."""


class StoreError(CelebahqError):
    """A dataset file is foreign, damaged, or cannot be written."""


class RejectionError(CelebahqError):
    """One image cannot be used; the run goes on without it.

    Args:
        stage: Where it was rejected, such as ``decode`` or ``align``.
        reason: Short stable identifier, such as ``truncated``; counted as ``<stage>.<reason>``.
        detail: What exactly is wrong, for the manifest.
    """

    def __init__(self, stage: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{stage}.{reason}" + (f": {detail}" if detail else ""))
        self.stage = stage
        self.reason = reason
        self.detail = detail

    @property
    def cause(self) -> str:
        """What is wrong, without the stage: the detail, or the reason where nothing more is known."""
        return self.detail or self.reason

    def __reduce__(self) -> tuple[type[RejectionError], tuple[str, str, str]]:
        # The default would rebuild it from the joined message: worker processes send rejections back by pickle.
        return type(self), (self.stage, self.reason, self.detail)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known name, else the list of known names.

    Args:
        name: What the user wrote.
        known: Names that would have been accepted.
    Returns:
        A clause to append to an error message.
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
