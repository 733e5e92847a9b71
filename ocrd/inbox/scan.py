"""What lies in an inbox now.  Looks only; follows no symbolic link below the inbox."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from ocrd.files import FileFacts


class Sight(NamedTuple):
    """Something that is not a folder, at `path` below the inbox."""

    path: str
    seen: FileFacts
    regular: bool


class Blocked(NamedTuple):
    """A folder (or an entry) below the inbox that cannot be looked at."""

    path: str
    error: OSError


class Entered(NamedTuple):
    """A folder below the inbox whose content comes next."""

    path: str


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
    root: str,
    start: str,
    skip: Callable[[str], bool],
    enter: Callable[[str], object] = lambda folder: None,
) -> Generator[Sight | Blocked | Entered, None, None]:
    """Everything below `root/start` that is not a folder, as it is found; follows no link.

    Args:
        root: The inbox, absolute.
        start: A folder below it; empty for all of it.
        skip: Told a name, says whether to pass it (and what is below it) by.
        enter: Told each folder before it is looked through.
    """
    folders = [start]
    while folders:
        folder = folders.pop()
        prefix = f"{folder}/" if folder else ""
        enter(folder)
        try:
            with os.scandir(f"{root}/{folder}") as entries:
                yield Entered(folder)
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
            yield sight_of(path, entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return
    except OSError as error:
        yield Blocked(path, error)


def sight_of(path: str, found: os.stat_result) -> Sight:
    """What an `lstat` of `path` saw."""
    return Sight(path, FileFacts.of(found), stat.S_ISREG(found.st_mode))


@contextlib.contextmanager
def below(root: str, path: str) -> Iterator[tuple[int, str]]:
    """The folder of `path` below `root` as a descriptor, and its name there; follows no link.

    Raises:
        OSError: A folder on the way is not there, or a link.
    """
    *folders, name = path.split("/")
    here = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            above, here = here, os.open(folder, flags, dir_fd=here)
            os.close(above)
        yield here, name
    finally:
        os.close(here)
