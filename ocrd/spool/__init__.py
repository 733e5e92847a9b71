"""The spool: crash-safe moves between inbox, outbox, archive and failed."""

from ocrd.spool.jobdir import JobRecord
from ocrd.spool.names import report as report_path
from ocrd.spool.orphans import Orphan
from ocrd.spool.spool import Spool

__all__ = ["JobRecord", "Orphan", "Spool", "report_path"]
