"""What the daemon says of itself once a second, for `ocrd status` to read without asking it.

The file lies in the spool; the lock beside it, which the daemon holds as long as it lives, tells
whether the words are those of a living daemon.  Light: `ocrd status` imports this at start.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SNAPSHOT = "status.json"
LOCK = "daemon.lock"
ROOM = 4096  # bytes; what file systems hand out at a time
MODE = 0o640  # whatever the umask: nobody else writes the daemon's word
LOCK_TRIES = 10
LOCK_PAUSE_S = 0.05


def write(spool: Path, facts: Mapping[str, Any]) -> None:
    """Replace the snapshot.  Not fsynced: after a power cut nobody asks for it.

    On a full disk, of which `ocrd status` has to tell, it is written over in place: the blank
    room that each snapshot has at its end is what a longer one then needs.

    Raises:
        OSError: The spool cannot be written.
    """
    scratch = spool / f"{SNAPSHOT}.new"
    text = json.dumps({"version": 1, **facts}).encode()
    text = text.ljust((len(text) // ROOM + 2) * ROOM)
    try:
        with scratch.open("wb") as file:
            os.fchmod(file.fileno(), MODE)
            file.write(text)
        scratch.replace(spool / SNAPSHOT)
    except OSError:
        scratch.unlink(missing_ok=True)
        with (spool / SNAPSHOT).open("r+b") as file:
            file.write(text.rstrip().ljust(os.fstat(file.fileno()).st_size))


def read(spool: Path) -> dict[str, Any] | None:
    """The last snapshot, from a living daemon or a dead one; None if there never was one."""
    try:
        facts = json.loads((spool / SNAPSHOT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("version") == 1 else None


def take_lock(file: Path) -> int | None:
    """Become the only daemon for what `file` guards: a descriptor to keep, or None if taken.

    The kernel gives the lock back when the process ends, however it ends.

    Raises:
        OSError: The file cannot be made.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:  # perhaps only a `status` that is looking
            time.sleep(LOCK_PAUSE_S)
    else:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def holder(file: Path) -> int | None:
    """The process that holds the lock now, or None.

    A reader needs no more than read permission, and leaves the lock as it is.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.read(descriptor, 32).decode(errors="replace").strip()
        return int(said) if said.isdigit() else -1
    finally:
        os.close(descriptor)
    return None
