"""Names of files as text files and terminals can hold them."""

from __future__ import annotations


def make_printable(text: str) -> str:
    r"""Return a text with what is not valid unicode escaped: a name's byte 0xff is listed as ``\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
