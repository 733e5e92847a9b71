"""What lies in an inbox now.  Looks only; follows no symbolic link below the inbox."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from ocrd.inbox.settle import Fingerprint


class Sight(NamedTuple):
    """Something that is not a folder, at `path` below the inbox."""

    path: str
    seen: Fingerprint


class Blocked(NamedTuple):
    """A folder (or an entry) below the inbox that cannot be looked at."""

    path: str
    error: OSError


def fingerprint(found: os.stat_result) -> Fingerprint:
    """What an (l)stat says of a file's content."""
    regular = stat.S_ISREG(found.st_mode)
    return Fingerprint(found.st_size, found.st_mtime_ns, found.st_ino, regular)


def look(root: str, path: str) -> os.stat_result | None:
    """What lies at `path` below `root`; None for nothing, or what a symlinked folder leads to.

    Raises:
        OSError: It cannot be told: no permission, an I/O error, a share that does not answer.
    """
    try:
        above = path.rpartition("/")[0]
        while above:
            if not stat.S_ISDIR(os.lstat(f"{root}/{above}").st_mode):
                return None
            above = above.rpartition("/")[0]
        return os.lstat(f"{root}/{path}")
    except (FileNotFoundError, NotADirectoryError):
        return None


def walk(
    root: str, start: str, skip: Callable[[str], bool]
) -> Generator[Sight | Blocked, None, None]:
    """Everything below `root/start` that is not a folder, as it is found.

    Args:
        root: The inbox, absolute.
        start: A folder below it; empty for all of it.
        skip: Told a name, says whether to pass it (and what is below it) by.
    """
    folders = [start]
    while folders:
        folder = folders.pop()
        prefix = f"{folder}/" if folder else ""
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
            yield Sight(path, fingerprint(entry.stat(follow_symlinks=False)))
    except FileNotFoundError:
        return
    except OSError as error:
        yield Blocked(path, error)
