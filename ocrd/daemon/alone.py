"""What a command does in the daemon's place when none runs."""

from __future__ import annotations

import os
import time

from ocrd.config import Config
from ocrd.daemon.parts import take_locks
from ocrd.inbox.names import numbered
from ocrd.ledger.ledger import Ledger
from ocrd.spool import Spool
from ocrd.worker.delivery import Delivery
from ocrd.worker.worker import CANCELLED


def carry_out_cancellations(config: Config) -> None:
    """Cancel what operators asked to be cancelled.

    Raises:
        LedgerError: A daemon has started meanwhile (it carries them out), or the ledger fails.
        PlaceError: An original cannot be moved now; the next start goes on.
    """
    locks = take_locks(config)
    try:
        spool = Spool(config.root, numbered=numbered)
        spool.prepare()
        with Ledger.open(config.ledger) as ledger:
            delivery = Delivery(ledger=ledger, spool=spool, clock=time.time)
            for job in ledger.cancellations():
                folder = config.folder(job.folder)
                if folder is not None:
                    delivery.fail(job, folder, CANCELLED, cancelled=True)
    finally:
        for lock in locks:
            os.close(lock)
