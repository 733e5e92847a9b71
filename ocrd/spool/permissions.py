"""Moves whose outcome, wherever it goes, has the group and permissions that its folder asks for.

A thing is dressed before it is seen: in the spool, or, when it is copied to another file system,
under the hidden name that the copy has until it is complete.
"""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

from ocrd.config.ownership import Ownership
from ocrd.files import Disk
from ocrd.spool.home import PRIVATE, Home
from ocrd.spool.tree import dress, fsync_tree, is_folder, make_folders

FOLDER = "folder"


def dressed_move(step: str, source: Path, target: Path, home: Home, owner: Ownership) -> Path:
    """`Home.move` for a thing that was dressed in the spool: a copy of it is dressed, too."""
    if not owner.given:
        return home.move(step, source, target)
    check = partial(_dress_copy, parent=target.parent, disk=home.disk, owner=owner)
    return home.move(step, source, target, check)


def dressed_folders(folder: Path, home: Home, owner: Ownership) -> None:
    """Make a folder and those missing above it, each with its group and mode from the start."""
    if not owner.given:
        make_folders(folder, home.disk)
        return
    with contextlib.suppress(FileExistsError):  # given up: what was made waits for the next
        home.resume(FOLDER)
    _make(folder, home, owner)


def _make(folder: Path, home: Home, owner: Ownership) -> None:
    if is_folder(folder, home.disk):
        return
    _make(folder.parent, home, owner)
    fresh = home.path / FOLDER
    if not home.has(fresh):
        home.disk.mkdir(fresh, PRIVATE)
    dress(fresh, folder.parent, home.disk, owner)
    try:
        dressed_move(FOLDER, fresh, folder, home, owner)
    except FileExistsError:  # somebody was quicker, with a folder or with something else
        if not is_folder(folder, home.disk):
            raise


def _dress_copy(part: Path, *, parent: Path, disk: Disk, owner: Ownership) -> None:
    dress(part, parent, disk, owner)
    fsync_tree(part, disk)
