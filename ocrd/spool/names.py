"""Names the spool gives.  Pure.  A name is at most 255 bytes, whatever is appended to it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

NAME_MAX = 255
REPORT_SUFFIX = ".error.json"
_HASH_LENGTH = 8
_ORIGINAL = "source"


def part(token: str) -> str:
    """A copy under way, hidden beside its target."""
    return f".ocrd-{token}.part"


def claimed(token: str) -> str:
    """An original that is ours already but still lies in its inbox, hidden, to be copied."""
    return f".ocrd-{token}.claim"


def original(source: str) -> str:
    """An original's name in the spool: plain ASCII, its extension kept as a hint of its format."""
    extension = Path(source).suffix[1:].lower()
    plain = extension.isascii() and extension.isalnum() and len(extension) <= _HASH_LENGTH
    return f"{_ORIGINAL}.{extension}" if plain else _ORIGINAL


def joined() -> str:
    """The name in the spool of the folder that holds the members of a joined document."""
    return _ORIGINAL


def report(target: Path) -> Path:
    """Where the reason for a failed original lies: NAME.error.json beside it.

    A name too long for that is cut, and a digest of the whole keeps different ones apart.
    """
    name = target.name + REPORT_SUFFIX
    if len(os.fsencode(name)) > NAME_MAX:
        digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:_HASH_LENGTH]
        tail = f"~{digest}{REPORT_SUFFIX}"
        name = _cut(target.name, NAME_MAX - len(tail)) + tail
    return target.with_name(name)


def _cut(name: str, room: int) -> str:
    """As much of a name as fits into `room` bytes, no character cut in two."""
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    return name
