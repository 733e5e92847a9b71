"""Names that the spool gives, and free names; at most 255 bytes each, whatever is appended."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Callable
from pathlib import Path

from ocrd.files import Disk
from ocrd.names import NAME_MAX, cut, numbered

REPORT_SUFFIX = ".error.json"
_HASH_LENGTH = 8
ORIGINAL = "source"  # in a job's folder: the original, or the folder of its members


def original(source: str) -> str:
    """An original's name in the spool; a short ASCII extension is kept as a hint at its format."""
    extension = Path(source).suffix[1:].lower()
    plain = extension.isascii() and extension.isalnum() and len(extension) <= _HASH_LENGTH
    return f"{ORIGINAL}.{extension}" if plain else ORIGINAL


def report(target: Path) -> Path:
    """The path of a failed original's report: NAME.error.json beside it.

    A name too long for that is cut, and a digest of the whole name keeps different names apart.
    """
    name = target.name + REPORT_SUFFIX
    if len(os.fsencode(name)) > NAME_MAX:
        digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:_HASH_LENGTH]
        tail = f"~{digest}{REPORT_SUFFIX}"
        name = cut(target.name, NAME_MAX - len(tail)) + tail
    return target.with_name(name)


def passable(folder: Path, disk: Disk) -> Path:
    """`folder`, with a number on each part whose name something other than a folder has."""

    def blocked(name: str) -> bool:  # a single look, since others make folders concurrently
        facts = disk.stat(way / name)
        return facts is not None and not stat.S_ISDIR(facts.st_mode)

    facts = disk.stat(folder)
    if facts is not None and stat.S_ISDIR(facts.st_mode):  # so its parents are folders, too
        return folder
    way = disk.tree_of(folder) or Path(folder.anchor)
    for part in folder.relative_to(way).parts:
        way /= first(part, blocked, is_dir=True)
    return way


def first(name: str, taken: Callable[[str], bool], *, is_dir: bool) -> str:
    """The first of NAME, NAME (2), … that is not taken."""
    choices = (numbered(name, number, is_dir=is_dir) for number in itertools.count(1))
    return next(choice for choice in choices if not taken(choice))
