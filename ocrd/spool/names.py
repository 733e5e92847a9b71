"""Names the spool gives, and free ones.  Each is at most 255 bytes, whatever is appended to it."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from ocrd.files import Disk
from ocrd.names import NAME_MAX, numbered

REPORT_SUFFIX = ".error.json"
_HASH_LENGTH = 8
ORIGINAL = "source"  # in a job's folder: the original, or the folder of its members


def original(source: str) -> str:
    """An original's name in the spool: plain ASCII, its extension kept as a hint of its format."""
    extension = Path(source).suffix[1:].lower()
    plain = extension.isascii() and extension.isalnum() and len(extension) <= _HASH_LENGTH
    return f"{ORIGINAL}.{extension}" if plain else ORIGINAL


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


class Choices:
    """Free names: NAME, NAME (2), NAME (3), … until nothing is in the way.

    Args:
        disk: The system calls.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def free(self, folder: Path, name: str, *, is_dir: bool) -> Path:
        """The first choice that nothing has; for a file, its report's name must be free, too."""

        def taken(choice: str) -> bool:
            target = folder / choice
            return self._is(target) or (not is_dir and self._is(report(target)))

        folder = self._passable(folder)
        return folder / self._first(name, taken, is_dir=is_dir)

    def free_stem(self, folder: Path, choices: Iterable[str], suffixes: Collection[str]) -> Path:
        """The first of the choices of which nothing has any of the names with these suffixes."""
        folder = self._passable(folder)
        return next(
            folder / stem
            for stem in choices
            if not any(self._is(folder / f"{stem}{suffix}") for suffix in suffixes)
        )

    def _passable(self, folder: Path) -> Path:
        """`folder`, with a number on each part of it that something else than a folder has."""
        facts = self._disk.stat(folder)
        if facts is not None and stat.S_ISDIR(facts.st_mode):  # then so is all that it lies in
            return folder
        way = self._disk.tree_of(folder) or Path(folder.anchor)
        for part in folder.relative_to(way).parts:
            way = self._passed(way, part)
        return way

    def _passed(self, way: Path, part: str) -> Path:
        return way / self._first(part, lambda name: self._blocked(way / name), is_dir=True)

    def _first(self, name: str, taken: Callable[[str], bool], *, is_dir: bool) -> str:
        choices = (numbered(name, number, is_dir=is_dir) for number in itertools.count(1))
        return next(choice for choice in choices if not taken(choice))

    def _blocked(self, path: Path) -> bool:
        """Whether something lies there that is no folder: one look, as others make folders, too."""
        facts = self._disk.stat(path)
        return facts is not None and not stat.S_ISDIR(facts.st_mode)

    def _is(self, path: Path) -> bool:
        return self._disk.lstat(path) is not None
