"""How a ledger is read by those who may not write it.  Standard library only.

A WAL ledger that nobody has open cannot be read with `mode=ro` by who may not create files beside
it; as `immutable` it can (https://sqlite.org/wal.html, "Read-Only Databases").  So a reader has to
know which it is, and to look again when that changed meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from ocrd.errors import OcrdError

T = TypeVar("T")


def steadily(path: Path, look: Callable[[bool], T]) -> T:
    """One look at the ledger during which nobody opened or closed it.

    Args:
        path: The ledger.
        look: Reads it, told whether it lies still, so that it may be read as `immutable`.
    """
    while True:
        still = _lies_still(path)
        try:
            found = look(still)
        except (sqlite3.Error, OcrdError):
            if _lies_still(path) == still:
                raise
        else:
            if _lies_still(path) == still:
                return found
        # The daemon started or stopped in between: look again.


def read_only(path: Path, busy_s: float, *, still: bool) -> sqlite3.Connection:
    """A connection that changes nothing and makes no file.

    Args:
        path: The ledger.
        busy_s: How long to wait for another process's lock, seconds.
        still: Whether nobody has it open.
    """
    mode = "immutable=1" if still else "mode=ro"
    uri = f"file:{quote(os.fsencode(path.resolve()))}?{mode}"
    return sqlite3.connect(
        uri, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
    )


def _lies_still(path: Path) -> bool:
    """Whether nobody has the ledger open: the last to close it takes its WAL away."""
    return not path.with_name(path.name + "-wal").exists()
