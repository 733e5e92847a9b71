"""Conditions that keep an inbox from being watched as it should, each with its remedy.  Pure.

A condition ends by itself once its cause is fixed.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from ocrd.files import display
from ocrd.job import Cause
from ocrd.oserrors import os_error
from ocrd.owners import user_name

_SHARE_REMEDY = "See that the server of the share answers, then mount it again."


def unreadable(path: str, error: OSError) -> Cause:
    """A folder, possibly the inbox itself, that cannot be listed."""
    code = error.errno or 0
    common = os_error(error, Path(path))
    kind, hint = "unreadable", common.hint
    if common.kind == "share-gone":
        kind, hint = "share-lost", _SHARE_REMEDY
    elif common.kind == "no-permission":
        hint = f"Let the daemon's user in: {_let_in(path)} (and x on the folders above it)."
    elif code == errno.ENAMETOOLONG:
        hint = "Move its content further up: the path is longer than the system allows."
    message = f"{display(path)} cannot be read: {os.strerror(code)}"
    return Cause(kind=kind, message=message, hint=hint)


def locked(path: str, found: os.stat_result) -> Cause:
    """A sub-folder that files cannot be moved out of: the daemon's user may not write there."""
    owner, mode = user_name(found.st_uid), stat.S_IMODE(found.st_mode)
    return Cause(
        kind="no-permission",
        message=f"no file can be taken out of {display(path)}: it belongs to {owner}, mode "
        f"{mode:o}, and {user_name(os.geteuid())} may not write there",
        hint=f"Its owner or root: {_let_in(path)}.  Files elsewhere are not held up.",
    )


def stray(strays: Mapping[str, int]) -> str:
    """The message about files that lie in no folder, from the number of files by place."""
    number = sum(strays.values())
    files = "1 file lies" if number == 1 else f"{number} files lie"
    places = ", ".join(map(display, strays))
    return f"{files} in no folder: {places} (add [[folder]], or move them)"


def broken(folder: str, error: Exception, delay: float) -> Cause:
    """Watching an inbox failed with an unexpected exception, and restarts after `delay` seconds."""
    return Cause(
        kind="defect",
        message=f"watching the inbox of {folder} failed, and begins anew after {delay:.0f} s: "
        f"{display(type(error).__name__)}: {display(str(error))}",
        hint="A defect of ocrd: please report it with the log.  Nothing is lost; the inbox is "
        "looked through again from the start.",
    )


def stalled(path: str, seconds: float) -> Cause:
    """The share does not respond: a call has been blocked for `seconds`."""
    message = f"{display(path)} has not answered for {seconds:.0f} s"
    return Cause(kind="share-hangs", message=message, hint=_SHARE_REMEDY)


def _let_in(path: str) -> str:
    user, place = user_name(os.geteuid()), shlex.quote(display(path))
    return f"setfacl -m u:{user}:rwx,d:u:{user}:rwx {place}"


def missing(path: str) -> Cause:
    """The inbox does not exist."""
    return Cause(
        kind="missing",
        message=f"there is no folder {display(path)} to take files from",
        hint=f"Make it: mkdir -p {display(path)} (and give it to the daemon's user).",
    )


def unmounted(path: str, source: str, point: str, memory: Path | None) -> Cause:
    """The share that held the inbox is not mounted; the bare mount point is not the inbox."""
    return Cause(
        kind="share-lost",
        message=f"the share {display(source)} of the inbox {display(path)} is not mounted",
        hint=f"Mount it again: mount {display(point)}.  (No longer a share?  {_forget(memory)})",
    )


def unmarked(path: str, marker: str, memory: Path | None) -> Cause:
    """The marker file that the inbox used to have is missing."""
    return Cause(
        kind="share-lost",
        message=f"{display(path)} has lost its {marker}: the share seems not to be mounted",
        hint=f"Mount the share, or, where it is mounted, make {marker} in it again.  "
        f"(No longer a share?  {_forget(memory)})",
    )


def _forget(memory: Path | None) -> str:
    return f"Remove {display(str(memory))} and restart ocrd." if memory else "Restart ocrd."


def limited(path: str, error: OSError) -> Cause:
    """The kernel gives no (more) inotify watches or instances: the inbox is polled instead."""
    what = "instances" if error.errno == errno.EMFILE else "watches"
    return Cause(
        kind="watch-limit",
        message=f"no more inotify {what}: {display(path)} is polled, files are seen later",
        hint=f"Raise the limit: sysctl fs.inotify.max_user_{what}=1048576 (and in /etc/sysctl.d).",
    )


def unwatched(path: str, error: OSError) -> Cause:
    """Kernel events are unavailable for a reason other than a limit."""
    why = os.strerror(error.errno or 0)
    return Cause(
        kind="watch-broken",
        message=f"no events from the kernel for {display(path)}: {why}: it is polled meanwhile",
        hint='Nothing to do: it is tried again.  Should it stay so, set watch = "polling".',
    )
