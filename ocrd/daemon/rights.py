"""Folders that people drop are opened to the daemon, out of which it has to take files.

Whoever copies a folder decides its mode, and the usual umask keeps the group from writing there.
The daemon may not change what belongs to others.  So it leaves word in the spool, and a unit of its
own (`ocrd-rights.path`) runs `ocrd rights`, which may do that one thing and reaches nothing else.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ocrd.errors import PlaceError
from ocrd.files import OURS, display
from ocrd.owners import how_to_be_let_in

WORD = "closed"  # in the spool: there is a folder to be opened
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TAKE = stat.S_IRWXG


def ask(spool: Path) -> None:
    """Leave word that there is a folder to be opened; of no use where nobody listens."""
    with contextlib.suppress(OSError):
        (spool / WORD).touch(OURS)


def open_up(inbox: Path, left: list[Path] | None = None) -> Iterator[Path]:
    """Let the inbox's group into each folder below it; those that were closed, as they are opened.

    Folders are reached by descriptors and through no link: whoever may write in the inbox leads
    nobody out of it.  One of another group than the inbox was not made there, and is left alone.

    Args:
        inbox: An inbox, or the root's `inbox/`, which holds some.
        left: Gets those that stay closed, because who asks may not open them.

    Raises:
        PlaceError: Who asks may not even look into the inbox.
    """
    left = [] if left is None else left
    try:
        top = os.open(inbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as error:
        raise PlaceError(
            f"{display(inbox)}: {error.strerror}", hint=how_to_be_let_in(inbox)
        ) from None
    except OSError:
        return
    group = os.fstat(top).st_gid
    under_way = [(top, inbox, iter(_folders_in(top)))]
    while under_way:  # one descriptor for each level
        folder, path, names = under_way[-1]
        name = next(names, None)
        if name is None:
            os.close(folder)
            under_way.pop()
            continue
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except PermissionError:
            left.append(path / name)
            continue
        except OSError:  # gone, or a link meanwhile
            continue
        try:
            if _opened(below, group):
                yield path / name
        except OSError:  # somebody else's, and who asks may only open their own
            left.append(path / name)
        under_way.append((below, path / name, iter(_folders_in(below))))


def _folders_in(folder: int) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [
            each.name
            for each in entries
            if not each.name.startswith(".") and each.is_dir(follow_symlinks=False)
        ]
    return []


def _opened(folder: int, group: int) -> bool:
    found = os.fstat(folder)
    mode = stat.S_IMODE(found.st_mode)
    if found.st_gid != group or mode & _TAKE == _TAKE:
        return False
    os.fchmod(folder, mode | _TAKE)
    return True
