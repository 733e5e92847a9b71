"""On which filesystem a path lies: SQLite's WAL needs memory shared by all who open the file."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")

# Where another machine (or a user-space server) holds the file, memory maps are not shared with
# everyone who has it open, and locks may not be kept: https://sqlite.org/wal.html, "Overview".
_REMOTE = re.compile(
    r"(nfs\d*|cifs|smb\d*|smbfs|ncpfs|afs|9p|ceph|lustre|glusterfs|vboxsf|fuse(\..+)?)"
)


def filesystem_of(path: Path, mountinfo: Path = MOUNTINFO) -> str:
    """The type of the filesystem that holds `path` (which need not exist), "" if unknowable.

    See proc(5), /proc/pid/mountinfo.  Of two mounts on one point the later covers the earlier.
    """
    target = os.fsencode(path.resolve())
    kind, longest = b"", -1
    try:
        mounts = mountinfo.read_bytes().splitlines()
    except OSError:  # a chroot without /proc
        return ""
    for line in mounts:
        before, _, after = line.partition(b" - ")
        point = _unescaped(before.split(b" ")[4])
        if len(point) >= longest and _below(target, point):
            kind, longest = after.split(b" ")[0], len(point)
    return kind.decode("ascii", "replace")


def is_remote(filesystem: str) -> bool:
    """Whether SQLite cannot keep a ledger safe there."""
    return _REMOTE.fullmatch(filesystem) is not None


def _below(path: bytes, point: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")


def _unescaped(field: bytes) -> bytes:
    """Blank, tab, newline and backslash stand as three octal digits."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)
