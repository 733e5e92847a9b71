"""The done marker of an original goes once the original is ours.

Before, it must stay: an original that turns out to have changed waits for its claim again.
"""

from __future__ import annotations

import os

from ocrd.config import Folder
from ocrd.inbox.marker import Marker
from ocrd.inbox.names import NAME_MAX
from ocrd.job import Job, Place
from ocrd.worker.ports import Spool


def remove_marker(spool: Spool, job: Job, folder: Folder) -> None:
    """Between the claim and its record, so that after a crash in between it is done again.

    Args:
        spool: Removes it.
        job: As it was before its original was moved into the spool.
        folder: Where from.
    """
    if folder.done_marker and job.place is Place.INBOX:
        marker = Marker(folder.done_marker).of(job.source, document=bool(job.members))
        if len(os.fsencode(marker.rpartition("/")[2])) <= NAME_MAX:  # else there is none
            spool.remove_marker(folder.inbox / marker)
