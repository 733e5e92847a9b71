"""Names as people see them."""

from __future__ import annotations

from pathlib import Path

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}


def display(name: str | Path) -> str:
    r"""The name (or path) as one harmless line: for logs, `STATUS=` and terminals.

    Whatever is not printable becomes a backslash escape: control characters and with them terminal
    sequences, line and paragraph separators, marks that turn the writing direction, spaces that
    are not a plain space.  A byte that is not UTF-8 becomes `\xNN`; other characters beyond ASCII
    become `\uNNNN`.  Different names are shown differently.
    """
    name = str(name)
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(map(_shown, name))


def _shown(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if char.isprintable():
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # a raw byte, as `os.fsdecode` smuggles it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
