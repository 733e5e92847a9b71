"""Opens to the daemon the folders that people drop, since it has to take files out of them.

The user who copies a folder decides its mode, and the usual umask keeps the group from writing
there.  The daemon may not change what belongs to others.  So it leaves a note in the spool, and a
separate unit (`ocrd-rights.path`) runs `ocrd rights`, which may do this and reaches nothing else.
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

WORD = "closed"  # the note in the spool: there is a folder to be opened
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TAKE = stat.S_IRWXG


def ask(spool: Path) -> None:
    """Leave a note that there is a folder to be opened; without the unit it has no effect."""
    with contextlib.suppress(OSError):
        (spool / WORD).touch(OURS)


def open_up(inbox: Path, left: list[Path] | None = None) -> Iterator[Path]:
    """Let the inbox's group into each folder below it, and yield each folder that was closed.

    Folders are reached by descriptors and through no link, so that a user who may write in the
    inbox cannot lead us out of it.  A folder of another group than the inbox's was not made there,
    and is left alone.

    Args:
        inbox: An inbox, or the root's `inbox/`, which holds inboxes.
        left: A list to which the folders are added that this process may not open.

    Raises:
        PlaceError: This process may not even look into the inbox.
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
        except OSError:  # another user's, and this process may only open its own user's
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
