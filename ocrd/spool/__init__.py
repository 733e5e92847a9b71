"""The spool: crash-safe moves between inbox, outbox, archive and failed."""

from ocrd.spool.spool import Spool

__all__ = ["Spool"]
