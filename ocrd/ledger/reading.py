"""The whole ledger for those who only look: people of the group, whether the daemon runs or not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from ocrd.ledger.database import Database
from ocrd.ledger.faults import READING, translated
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.still import read_only, steadily
from ocrd.ledger.version import NEWEST, known_version

T = TypeVar("T")

_BUSY_S = 10.0


def read_ledger(path: Path, question: Callable[[Ledger], T]) -> T:
    """Ask the ledger a question that changes nothing; it may be asked again.

    One that an older ocrd made is upgraded first, which needs leave to write.

    Raises:
        LedgerError: There is none, or it is damaged, locked, made by a newer ocrd.
        PlaceError: It must not be read.
    """
    if not os.access(path, os.R_OK) or not _is_current(path):
        with Ledger.open(path, create=False, check=False) as ledger:  # it says what is wrong
            return question(ledger)
    return steadily(path, lambda still: _asked(path, question, still=still))


def _is_current(path: Path) -> bool:
    return steadily(path, lambda still: _version(path, still=still)) == NEWEST


def _version(path: Path, *, still: bool) -> int:
    with translated(path, READING), closing(read_only(path, _BUSY_S, still=still)) as raw:
        return known_version(raw, path, NEWEST)


def _asked(path: Path, question: Callable[[Ledger], T], *, still: bool) -> T:
    opener = partial(read_only, path, _BUSY_S, still=still)
    database = Database(path, _BUSY_S, opener=opener, access=READING)
    with Ledger(database, time.time) as ledger:
        return question(ledger)
