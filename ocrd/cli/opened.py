"""The ledger, opened for a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ocrd.cli.locate import Located, locate

if TYPE_CHECKING:
    from ocrd.ledger.ledger import Ledger

T = TypeVar("T")


def asked(given: Path | None, question: Callable[[Ledger], T]) -> T:
    """Locate the ledger and ask it what changes nothing: nobody needs leave to write for that.

    Raises:
        ConfigError: There is no usable configuration.
        LedgerError: There is no ledger yet, or it cannot be used.
        PlaceError: It must not be read.
    """
    from ocrd.ledger.readonly import read_ledger

    return read_ledger(locate(given).ledger, question)


@contextmanager
def ledger(given: Path | None) -> Iterator[tuple[Located, Ledger]]:
    """Locate the ledger and open it for changes; it must exist.

    Raises:
        ConfigError: There is no usable configuration.
        LedgerError: There is no ledger yet, or it cannot be used.
        PlaceError: It must not be written.
    """
    from ocrd.ledger.ledger import Ledger

    found = locate(given)
    with Ledger.open(found.ledger, create=False, check=False) as opened:
        yield found, opened
