"""Text from outside - file names, manifest cells, error messages - made safe to look at."""

from __future__ import annotations

import unicodedata

MAX_LENGTH = 300
# Controls, formats (bidirectional overrides, zero-width characters), unpaired surrogates, private and unassigned
# characters, line and paragraph separators.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def show_text(value: object, *, limit: int | None = MAX_LENGTH) -> str:
    r"""Return text in which every invisible character is written out, and of bounded length.

    A file name may reverse the letters after it, hide characters, break lines, or hold bytes that are no UTF-8; shown
    as it is, it would lie about itself. It is not escaped for HTML: the templates do that.

    Args:
        value: Anything with a text.
        limit: Characters to show; the middle of longer texts is left out, since names differ at their ends. None
            shows all.
    Returns:
        The text, such as ``photo\u202egpj.exe`` for a name with a right-to-left override.
    """
    text = str(value)
    if limit is not None and len(text) > limit:
        half = limit // 2
        text = f"{text[:half]} … {text[-half:]}"
    return text if text.isprintable() else "".join(map(_show_character, text))


def _show_character(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for a byte of a file name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
