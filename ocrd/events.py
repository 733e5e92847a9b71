"""What happened, as data: one stream that the log, the metrics and the progress bar listen to.

An event has a dotted name and fields, never prose: `job.done` with `job`, `folder`, `pages` …
The code that emits an event does not know who listens.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class Level(enum.IntEnum):
    """How much an event matters, in syslog's numbers: smaller is worse."""

    ERROR = 3
    WARNING = 4
    INFO = 6
    DEBUG = 7


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        name: Dotted, stable: `page.failed`.
        level: How much it matters.
        fields: Facts; names are snake_case, values plain (str, int, float, bool, None).
    """

    name: str
    level: Level
    fields: Mapping[str, Any] = field(default_factory=dict)


Sink = Callable[[Event], None]


class Events:
    """Hands each event to every sink, in the order they were added.

    Sinks must be quick and may be called from any thread.  If a sink raises, its error goes to
    all other sinks as `sink.failed`, and the emitter continues.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = list(sinks)

    def add(self, sink: Sink) -> None:
        """Send every event from now on to `sink`, too."""
        self._sinks = [*self._sinks, sink]

    def remove(self, sink: Sink) -> None:
        """Stop sending events to `sink`."""
        self._sinks = [kept for kept in self._sinks if kept is not sink]

    def emit(self, name: str, level: Level = Level.INFO, /, **fields: Any) -> None:
        """Send an event to every sink."""
        event, sinks = Event(name, level, fields), self._sinks
        for number, sink in enumerate(sinks):
            try:
                sink(event)
            except Exception as error:
                if name != "sink.failed":  # failing sinks must not report each other for ever
                    others = Events(*sinks[:number], *sinks[number + 1 :])
                    others.error("sink.failed", sink=repr(sink), during=name, error=repr(error))

    def debug(self, name: str, /, **fields: Any) -> None:
        """Emit an event that only a developer needs."""
        self.emit(name, Level.DEBUG, **fields)

    def warn(self, name: str, /, **fields: Any) -> None:
        """Emit an event that an operator should look at."""
        self.emit(name, Level.WARNING, **fields)

    def error(self, name: str, /, **fields: Any) -> None:
        """Emit an event that an operator must look at."""
        self.emit(name, Level.ERROR, **fields)
