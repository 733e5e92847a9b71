"""What keeps an inbox from being watched as it should, each with its remedy.  Pure."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from ocrd.files import display

_REMEDIES = {
    errno.EACCES: "Let the daemon's user in: setfacl -m u:ocrd:rwx on it (x on those above).",
    errno.EPERM: "Let the daemon's user in: setfacl -m u:ocrd:rwx on it (x on those above).",
    errno.EIO: "Look at dmesg for errors of the disk, and run fsck on it.",
    errno.ENAMETOOLONG: "Move its content further up: the path is longer than the system allows.",
    errno.EMFILE: "Raise LimitNOFILE= of the service, or watch fewer folders.",
    errno.ENFILE: "Raise the sysctl fs.file-max.",
}
_SHARE_ERRORS = frozenset(
    {errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT}
)
_SHARE_REMEDY = "See that the server of the share answers, then mount it again."


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """Something out of order that ends by itself once it is put right.

    Attributes:
        kind: A stable word for logs and status.
        message: What is the matter, in one sentence.
        hint: What to do about it.
        pauses: Whether no file of the inbox is taken meanwhile.
    """

    kind: str
    message: str
    hint: str
    pauses: bool


def unreadable(path: str, error: OSError, *, pauses: bool) -> Condition:
    """A folder (or, when it pauses, the inbox) that cannot be listed."""
    code = error.errno or 0
    share = code in _SHARE_ERRORS
    fallback = _SHARE_REMEDY if share else "See what the system says of it: ls -la, dmesg."
    return Condition(
        kind="share-lost" if share else "unreadable",
        message=f"{display(path)} cannot be read: {os.strerror(code)}",
        hint=_REMEDIES.get(code, fallback),
        pauses=pauses,
    )


def missing(path: str) -> Condition:
    """The inbox is not there."""
    return Condition(
        kind="missing",
        message=f"there is no folder {display(path)} to take files from",
        hint=f"Make it: mkdir -p {display(path)} (and give it to the daemon's user).",
        pauses=True,
    )


def unmounted(path: str, source: str, point: str, memory: Path | None) -> Condition:
    """The share that held the inbox is gone; what lies beneath is not the inbox.

    Args:
        path: The inbox.
        source: The share.
        point: Where it was mounted.
        memory: The file that tells of it after a restart.
    """
    return Condition(
        kind="share-lost",
        message=f"the share {display(source)} of the inbox {display(path)} is not mounted",
        hint=f"Mount it again: mount {display(point)}.  (No longer a share?  {_forget(memory)})",
        pauses=True,
    )


def unmarked(path: str, marker: str, memory: Path | None) -> Condition:
    """The marker file that was there is not."""
    return Condition(
        kind="share-lost",
        message=f"{display(path)} has lost its {marker}: the share seems not to be mounted",
        hint=f"Mount the share, or, where it is mounted, make {marker} in it again.  "
        f"(No longer a share?  {_forget(memory)})",
        pauses=True,
    )


def _forget(memory: Path | None) -> str:
    return f"Remove {display(str(memory))} and restart ocrd." if memory else "Restart ocrd."


def limited(path: str, error: OSError) -> Condition:
    """The kernel gives no (more) inotify watches: the inbox is looked through often instead."""
    instances = error.errno == errno.EMFILE
    knob = "max_user_instances" if instances else "max_user_watches"
    what = "instances" if instances else "watches"
    return Condition(
        kind="watch-limit",
        message=f"no more inotify {what}: {display(path)} is polled, files are seen later",
        hint=f"Raise the limit: sysctl fs.inotify.{knob}=1048576 (and in /etc/sysctl.d).",
        pauses=False,
    )


def unwatched(path: str, error: OSError | None) -> Condition:
    """The kernel's events cannot be had for another reason, or stopped coming."""
    why = f": {os.strerror(error.errno or 0)}" if error else ""
    return Condition(
        kind="watch-broken",
        message=f"no events from the kernel for {display(path)}{why}: it is polled meanwhile",
        hint='Nothing to do: it is tried again.  Should it stay so, set watch = "polling".',
        pauses=False,
    )
