"""What happened, as data: one stream that the log, the metrics and the progress bar listen to.

An event has a dotted name and fields, never prose: `job.done` with `job`, `folder`, `pages` …
Whoever emits does not know who listens.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class Level(enum.IntEnum):
    """How much an event matters; syslog's numbers, so that smaller is worse."""

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

    Sinks must be quick and may be called from any thread.  One that fails is the first to be
    told apart: its error reaches the next sinks as `sink.failed`, and the emitter goes on.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = list(sinks)

    def add(self, sink: Sink) -> None:
        """Let `sink` have every event from now on."""
        self._sinks = [*self._sinks, sink]

    def remove(self, sink: Sink) -> None:
        """Let `sink` have no more events."""
        self._sinks = [kept for kept in self._sinks if kept is not sink]

    def emit(self, name: str, level: Level = Level.INFO, /, **fields: Any) -> None:
        """Tell every sink."""
        event, sinks = Event(name, level, fields), self._sinks
        for number, sink in enumerate(sinks):
            try:
                sink(event)
            except Exception as error:
                if name != "sink.failed":  # a failing sink must not fail in circles
                    others = Events(*sinks[:number], *sinks[number + 1 :])
                    others.error("sink.failed", sink=repr(sink), during=name, error=repr(error))

    def debug(self, name: str, /, **fields: Any) -> None:
        """Emit what only a developer asks for."""
        self.emit(name, Level.DEBUG, **fields)

    def warn(self, name: str, /, **fields: Any) -> None:
        """Emit what an operator should look at."""
        self.emit(name, Level.WARNING, **fields)

    def error(self, name: str, /, **fields: Any) -> None:
        """Emit what an operator must look at."""
        self.emit(name, Level.ERROR, **fields)
