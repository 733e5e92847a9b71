"""The daemon's status, written once a second, for `ocrd status` to read without asking the daemon.

The file is in the spool; the lock beside it, which the daemon holds as long as it lives, shows
whether it is from a living daemon.  Imports little, because `ocrd status` loads it at start.
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
ROOM = 4096  # bytes; the usual block size of file systems
MODE = 0o640  # whatever the umask: only the daemon may write its status
LOCK_TRIES = 10
LOCK_PAUSE_S = 0.05


def write(spool: Path, facts: Mapping[str, Any]) -> None:
    """Replace the snapshot.  Not fsynced: after a power cut nobody needs it.

    On a full disk, which `ocrd status` has to report, the file is overwritten in place: the blanks
    at the end of each snapshot leave room for a longer one.

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
    """Lock `file` for this daemon: a descriptor to keep open, or None if another holds the lock.

    The kernel releases the lock when the process ends, however it ends.

    Raises:
        OSError: The file cannot be opened or created.
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
    """The pid of the process that holds the lock, -1 if the file does not name it, or None.

    Needs no more than read permission, and leaves the lock as it is.
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
