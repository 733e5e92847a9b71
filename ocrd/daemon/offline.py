"""Retries and cancels, whoever asks: the daemon carries them out, or this process in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ocrd import snapshot
from ocrd.config import Config
from ocrd.daemon.requests import answer_of, known_among
from ocrd.daemon.wiring import open_places
from ocrd.errors import LedgerError
from ocrd.events import Events
from ocrd.ledger.ledger import Ledger
from ocrd.requests import ask
from ocrd.worker.deliver import Delivery
from ocrd.worker.worker import CANCELLED


def request(spool: Path, asked: Mapping[str, Any], config: Callable[[], Config]) -> dict[str, Any]:
    """Have jobs retried or cancelled.

    Args:
        spool: The daemon's own tree.
        asked: As `ocrd.requests.ask` takes it: `retry` or `cancel`.
        config: Loads the configuration; called where no daemon runs, which has its own.

    Returns:
        The answer, as of `ocrd.requests.ask`.

    Raises:
        UsageError: Who asks may not.
        LedgerError: The ledger cannot be used.
        PlaceError: An original cannot be moved now; the next start goes on.
    """
    if snapshot.holder(spool / snapshot.LOCK) is None:
        try:
            return _carry_out(config(), asked)
        except LedgerError as error:
            if error.kind != "already-running":
                raise
    return ask(spool, asked)


def _carry_out(config: Config, asked: Mapping[str, Any]) -> dict[str, Any]:
    if asked["do"] == "cancel":
        return _cancel(config, asked["jobs"])
    with Ledger.open(config.ledger, create=False, check=False) as ledger:
        if asked.get("failed"):
            return answer_of(ledger.retry(None))
        known, unknown = known_among(ledger, asked["jobs"])
        return answer_of(ledger.retry(known), known, unknown)


def _cancel(config: Config, numbers: Collection[int]) -> dict[str, Any]:
    """Cancel, with everything closed to a daemon that starts meanwhile."""
    with Ledger.open(config.ledger, create=False, check=False) as ledger:
        known, unknown = known_among(ledger, numbers)
    ledger, spool, places = open_places(config, Events())
    with places:
        spool.know(config.folders)
        done = ledger.request_cancel(known)
        delivery = Delivery(ledger=ledger, spool=spool, clock=time.time)
        for job in ledger.cancellations():
            if (folder := config.folder(job.folder)) is not None:
                delivery.fail(job, folder, CANCELLED, cancelled=True)
        return answer_of(done, known, unknown)
