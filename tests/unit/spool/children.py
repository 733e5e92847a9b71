"""Acts in a forked child, which may be killed; what an unprivileged user owns."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.support.nobody import NOBODY


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


def give_to_nobody(folder: Path) -> None:
    """A folder and all in it belongs to the unprivileged user."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
