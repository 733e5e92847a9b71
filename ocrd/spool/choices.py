"""Free names: NAME, NAME (2), NAME (3), … until nothing is in the way."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Protocol

from ocrd.files import Disk
from ocrd.spool import names


class Numbered(Protocol):
    """`(name, n)` -> the nth choice for a taken name; 1 is the name itself."""

    def __call__(self, name: str, n: int, *, is_dir: bool = False) -> str:
        """Such as `scan (2).pdf`, or `scan (2)` for a folder."""


class Choices:
    """Chooses names.

    Args:
        numbered: Gives the nth choice.
        disk: The system calls.
    """

    def __init__(self, numbered: Numbered, disk: Disk) -> None:
        self._numbered = numbered
        self._disk = disk

    def free(self, folder: Path, name: str, *, is_dir: bool, also_taken: Collection[str]) -> Path:
        """The first choice that nothing has; for a file, its report's name must be free, too."""

        def taken(choice: str) -> bool:
            target = folder / choice
            return (
                choice in also_taken
                or self._is(target)
                or (not is_dir and self._is(names.report(target)))
            )

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

    def moved(self, wanted: Path, move: Callable[[Path], Path]) -> Path:
        """What `move` says of the first choice beside `wanted` that it does not find taken."""
        for number in itertools.count(1):
            try:
                return move(wanted.with_name(self._numbered(wanted.name, number)))
            except FileExistsError:
                continue
        raise AssertionError  # `count` never ends; the type checker cannot know

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
        choices = (self._numbered(name, number, is_dir=is_dir) for number in itertools.count(1))
        return next(choice for choice in choices if not taken(choice))

    def _blocked(self, path: Path) -> bool:
        """Whether something lies there that is no folder: one look, as others make folders, too."""
        facts = self._disk.stat(path)
        return facts is not None and not stat.S_ISDIR(facts.st_mode)

    def _is(self, path: Path) -> bool:
        return self._disk.lstat(path) is not None
