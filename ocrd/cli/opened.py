"""The ledger, opened for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ocrd.cli.locate import Located, locate

if TYPE_CHECKING:
    from ocrd.ledger.ledger import Ledger


@contextmanager
def ledger(given: Path | None) -> Iterator[tuple[Located, Ledger]]:
    """Locate and open the ledger; it must exist.

    Raises:
        ConfigError: There is no usable configuration.
        LedgerError: There is no ledger yet, or it cannot be used.
    """
    from ocrd.ledger.ledger import Ledger

    found = locate(given)
    with Ledger.open(found.ledger, create=False, check=False) as opened:
        yield found, opened
