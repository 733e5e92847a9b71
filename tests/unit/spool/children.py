"""Acts in a forked child: one that may be killed, or one without root's rights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

NOBODY = 65534


def in_a_child(act: Callable[[], object]) -> int:
    """Run `act` in a forked child; its exit status, negative the signal that ended it."""
    child = os.fork()
    if child == 0:
        status = 3
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def as_nobody(act: Callable[[], object]) -> int:
    """The same as an unprivileged user of no group but its own."""

    def drop_rights_and_act() -> None:
        os.umask(0o022)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        act()

    return in_a_child(drop_rights_and_act)


def give_to_nobody(folder: Path) -> None:
    """A folder and all in it belongs to the unprivileged user."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
