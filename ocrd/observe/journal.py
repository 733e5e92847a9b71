"""Events become journal entries with native fields, so that `journalctl OCRD_JOB=42` finds them.

Fields: OCRD_EVENT (`job.failed`), and one for each of the event's own (OCRD_JOB, OCRD_FOLDER,
OCRD_PAGE …); PRIORITY as syslog counts; MESSAGE is the same in one readable line.
"""

from __future__ import annotations

import os
from typing import Any

from cysystemd import journal

from ocrd.events import Event, Level, Sink
from ocrd.observe.log import one_line

IDENTIFIER = "ocrd"
LONGEST_VALUE = 4000  # characters; a traceback fits


def under_systemd() -> bool:
    """Whether this process's output goes to the journal anyway, so that native entries belong."""
    return "JOURNAL_STREAM" in os.environ


def journal_sink(level: str) -> Sink:
    """A sink that writes entries of `level` and worse.

    Names come from the code and values are escaped: nothing that a file is called can end a line
    or begin a field of its own.
    """
    least = Level[level.upper()]

    def sink(event: Event) -> None:
        if event.level > least:
            return
        told = {key: one_line(value)[:LONGEST_VALUE] for key, value in event.fields.items()}
        line = " ".join([event.name, *(f"{key}={value}" for key, value in told.items())])
        own: dict[str, Any] = {
            f"ocrd_{key}": value for key, value in told.items() if event.fields[key] is not None
        }
        own |= {"ocrd_event": event.name, "priority": int(event.level)}
        journal.send(message=line, syslog_identifier=IDENTIFIER, **own)

    return sink
