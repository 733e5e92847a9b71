"""The spool: crash-safe moves between inbox, outbox, archive and failed."""

from ocrd.spool.blame import place_error
from ocrd.spool.disk import Disk
from ocrd.spool.names import report as report_path
from ocrd.spool.orphans import Orphan
from ocrd.spool.record import JobRecord
from ocrd.spool.spool import Spool

__all__ = ["Disk", "JobRecord", "Orphan", "Spool", "place_error", "report_path"]
