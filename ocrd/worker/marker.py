"""The done marker of an original goes once the original is ours.

Before, it must stay: an original that turns out to have changed waits for its claim again.
"""

from __future__ import annotations

import os

from ocrd.config import Folder
from ocrd.inbox.join import pile_name
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
        marker = _marker(job, folder)
        if len(os.fsencode(marker.rpartition("/")[2])) <= NAME_MAX:  # else there is none
            spool.remove_marker(folder.inbox / marker)


def _marker(job: Job, folder: Folder) -> str:
    """The one that was waited for: that of a document even where one file was all of a pile."""
    marker = Marker(folder.done_marker)
    if folder.join == "pause" and not job.members:
        return marker.of(pile_name(job.source), document=True)
    return marker.of(job.source, document=bool(job.members))
