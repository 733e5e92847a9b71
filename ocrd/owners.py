"""Owners and groups of files by name, and how a user gets access to them."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ocrd.names import display


def user_name(uid: int) -> str:
    """The user's name, or the number if it has none, as in some containers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The group's name, or the number if it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def owned(found: os.stat_result) -> str:
    """Owner, group and mode in words: `owned by anna:ocrd, mode 2755`."""
    mode = stat.S_IMODE(found.st_mode)
    return f"owned by {user_name(found.st_uid)}:{group_name(found.st_gid)}, mode {mode:04o}"


def how_to_be_let_in(place: Path) -> str:
    """How a user gets access to one of the daemon's paths: which group, which command.

    If the path itself cannot be seen, the answer is for the nearest folder above it that can be.
    """
    found = _nearest(place)
    group, me = group_name(found.st_gid), user_name(os.geteuid())
    if os.geteuid() == 0 or found.st_gid in (os.getegid(), *os.getgroups()):
        owner = user_name(found.st_uid)
        return f"Ask as its owner: sudo -u {owner} ocrd …  It is {owned(found)}."
    if found.st_gid == 0:
        return "Use sudo, or ask as the daemon's user: sudo -u ocrd ocrd …"
    if me in _members(found.st_gid):
        return f"Log in again: {me} is in the group {group}, and this session began before that."
    return (
        f"Be in the group {group}: sudo usermod -aG {group} {me}, then log in again.  Or use sudo."
    )


@contextlib.contextmanager
def acting_as(uid: int, gid: int, groups: Sequence[int]) -> Iterator[None]:
    """Act as another user inside the block, as root can; no change if we are that user already."""
    if os.geteuid() == uid:
        yield
        return
    before = os.getgroups(), os.getegid(), os.geteuid()
    try:
        os.setgroups(groups)
        os.setegid(gid)
        os.seteuid(uid)
        yield
    finally:
        os.seteuid(before[2])
        os.setegid(before[1])
        os.setgroups(before[0])


def make_for_owner(path: Path, mode: int) -> None:
    """Create an empty file if there is none; root gives it to the owner of its folder.

    Otherwise `sudo ocrd …` would leave a file beside the ledger that the daemon's user cannot open.

    Raises:
        OSError: It cannot be created.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    except FileExistsError:
        return
    try:
        if os.geteuid() == 0:
            folder = path.parent.stat()
            with contextlib.suppress(PermissionError):  # root without that capability
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
    finally:
        os.close(descriptor)


def whose_it_should_be(path: Path) -> str:
    """The command that gives a file, and SQLite's files beside it, to the owner of its folder.

    Empty if the file has that owner already or does not exist.
    """
    try:
        found, folder = path.stat(), path.parent.stat()
    except OSError:
        return ""
    if found.st_uid == folder.st_uid:
        return ""
    owner = f"{user_name(folder.st_uid)}:{group_name(folder.st_gid)}"
    return f"sudo chown {owner} {shlex.quote(display(path))}*"


def _members(gid: int) -> list[str]:
    try:
        return grp.getgrgid(gid).gr_mem
    except KeyError:
        return []


def _nearest(place: Path) -> os.stat_result:
    """The `stat` of the path, or of the nearest folder above it for which that works."""
    for each in (place, *place.absolute().parents):
        try:
            return each.stat()
        except (OSError, ValueError):
            continue
    return os.stat("/")  # noqa: PTH116 - there is no other root
