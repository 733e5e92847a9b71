"""Lists the files in an inbox, and those outside every inbox.  Read-only; follows no link."""

from __future__ import annotations

import itertools
import os
import stat
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ocrd.files import FileFacts
from ocrd.mounts import is_remote, mounts
from ocrd.names import ignored

STRAYS = 10_000  # the most files counted in one place


class Sight(NamedTuple):
    """An entry that is not a folder, at `path` below the inbox."""

    path: str
    seen: FileFacts
    regular: bool

    @classmethod
    def of(cls, path: str, found: os.stat_result) -> Sight:
        """The sight made from an `lstat` of `path`."""
        return cls(path, FileFacts.of(found), stat.S_ISREG(found.st_mode))


class Blocked(NamedTuple):
    """A folder (or an entry) below the inbox that cannot be read."""

    path: str
    error: OSError


def walk(
    root: str,
    start: str = "",
    skip: Callable[[str], bool] = ignored,
    enter: Callable[[str], object] = lambda folder: None,
) -> Generator[Sight | Blocked, None, None]:
    """Yield every entry below `root/start` that is not a folder, in the order found.

    Args:
        root: The inbox, absolute.
        start: A folder below it; empty for the whole inbox.
        skip: Whether to skip an entry of this name, with everything below it.
        enter: Called with each folder before it is listed.
    """
    folders = [start]
    while folders:
        folder = folders.pop()
        prefix = f"{folder}/" if folder else ""
        enter(folder)
        try:
            with os.scandir(f"{root}/{folder}") as entries:
                for entry in entries:
                    if not skip(entry.name):
                        yield from _met(entry, prefix + entry.name, folders)
        except (FileNotFoundError, NotADirectoryError) as gone:
            if not folder:
                yield Blocked(folder, gone)
        except OSError as error:
            yield Blocked(folder, error)


def _met(entry: os.DirEntry[str], path: str, folders: list[str]) -> Iterator[Sight | Blocked]:
    try:
        if entry.is_dir(follow_symlinks=False):
            folders.append(path)
        else:
            yield Sight.of(path, entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return
    except OSError as error:
        yield Blocked(path, error)


def lying(folder: str | Path, most: int | None = None) -> int:
    """The number of files in a folder and below, except ignored names; at most `most`."""
    sights = (each for each in walk(str(folder)) if isinstance(each, Sight))
    return sum(1 for _ in itertools.islice(sights, most))


def strays(root: Path, known: Iterable[Path]) -> Mapping[str, int]:
    """The number of files below `root/inbox` but in no inbox, by place; shares are skipped.

    Raises:
        OSError: `root/inbox` cannot be listed.
    """
    top = os.path.realpath(root / "inbox")
    taken = {os.path.realpath(path) for path in known}
    if top in taken or not os.path.isdir(top):  # noqa: PTH112 -- a string, as all paths here
        return {}
    closed = taken | {mount.point for mount in mounts() if is_remote(mount.fstype)}
    inside = [path.removeprefix(f"{top}/") for path in closed if path.startswith(f"{top}/")]
    first = {path.split("/")[0] for path in inside}
    found: Counter[str] = Counter()
    with os.scandir(top) as entries:
        for entry in entries:
            if ignored(entry.name) or entry.name in first:
                continue
            if entry.is_dir(follow_symlinks=False):
                found[entry.path] = lying(entry.path, STRAYS)
            elif entry.is_file(follow_symlinks=False):
                found[top] += 1
    return {place: count for place, count in sorted(found.items()) if count}
