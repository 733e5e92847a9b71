"""Writes events as log lines, coloured on a terminal and plain otherwise, or to the journal.

A journal entry has native fields, so that `journalctl OCRD_JOB=42` finds it: OCRD_EVENT
(`job.failed`) and one for each field of the event (OCRD_JOB, OCRD_FOLDER, OCRD_PAGE …); PRIORITY is
that of syslog; MESSAGE says the same in one readable line.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TextIO

import structlog
from cysystemd import journal

from ocrd.events import Event, Level, Sink
from ocrd.files import display

LONGEST_VALUE = 4000  # characters in a field of the journal; a traceback fits
LONGEST_LINE = 4096  # bytes of a line that other code writes to standard error
_STDERR = 2


def log_sink(form: str, level: str, stream: TextIO = sys.stderr) -> Sink:
    """A sink that writes each event as one line.

    Args:
        form: `console` (colours), `plain` or `json`; `auto` is `console` on a terminal and
            `plain` otherwise.
        level: The lowest level to write: `debug`, `info`, `warning` or `error`.
        stream: The stream to write to.
    """
    if form == "auto":
        form = "console" if stream.isatty() else "plain"
    least = logging.getLevelName(level.upper())
    lazy = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[_one_line, *_renderers(form)],
        wrapper_class=structlog.make_filtering_bound_logger(least),
    )
    logger = lazy.bind()  # once, and not for each line

    def sink(event: Event) -> None:
        logger.log(logging.getLevelName(event.level.name), event.name, **event.fields)

    return sink


def journal_sink(level: str) -> Sink:
    """A sink that writes events of `level` and worse to the journal.

    Field names come from the code and values are escaped: no file name can end a line or begin a
    field of its own.
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
        journal.send(message=line, syslog_identifier="ocrd", **own)

    return sink


def _renderers(form: str) -> list[Any]:
    level = structlog.processors.add_log_level
    match form:
        case "console":
            clock = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
            return [level, clock, structlog.dev.ConsoleRenderer(pad_event_to=18)]
        case "json":
            return [level, _stamped, structlog.processors.JSONRenderer(ensure_ascii=False)]
        case _:
            order = ["timestamp", "level", "event"]
            return [level, _stamped, structlog.processors.LogfmtRenderer(key_order=order)]


def _stamped(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the time of writing, in the format used all over ocrd, with the zone."""
    event["timestamp"] = datetime.now().astimezone().isoformat(timespec="milliseconds")
    return event


def _one_line(
    _logger: Any, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Escape values that would break the line or colour the terminal: anybody may name a file."""
    for key, value in event.items():
        if isinstance(value, str) and key != "traceback":
            event[key] = one_line(value)
    return event


def one_line(value: object) -> str:
    r"""The value in printable characters only.

    A printable value stays as it is: names in events were escaped where they were emitted, and
    escaping them again would double each backslash.
    """
    text = str(value)
    return text if text.isprintable() else display(text)


@contextmanager
def standard_error_apart(tell: Callable[[str], object]) -> Iterator[TextIO]:
    """Keep the log's stream for the log: all else on standard error goes to `tell`, line by line.

    Libraries and their child processes draw progress bars there, and a stream of JSON with a
    progress bar in it is no longer JSON.

    Args:
        tell: Called with each line (or state of a progress bar), on a thread of its own.

    Yields:
        The stream that standard error was before.
    """
    sys.stderr.flush()
    reader, writer = os.pipe()
    kept = os.dup(_STDERR)
    os.dup2(writer, _STDERR)
    os.close(writer)
    thread = threading.Thread(target=_tell_lines, args=(reader, tell), name="stderr", daemon=True)
    thread.start()
    with os.fdopen(kept, "w") as stream:
        try:
            yield stream
        finally:
            sys.stderr.flush()
            os.dup2(kept, _STDERR)
            thread.join(1)  # a child that is still alive holds the other end


def _tell_lines(reader: int, tell: Callable[[str], object]) -> None:
    last = b""
    with open(reader, "rb", buffering=0) as stream:
        while block := stream.read(LONGEST_LINE):
            *lines, last = re.split(rb"[\r\n]+", last + block)
            if len(last) >= LONGEST_LINE:
                lines, last = [*lines, last], b""
            for line in filter(None, lines):
                tell(line.decode(errors="replace"))
    if last:
        tell(last.decode(errors="replace"))
