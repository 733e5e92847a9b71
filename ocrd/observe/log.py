"""Events become log lines: coloured on a terminal, one plain line each otherwise."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from ocrd.events import Event, Level, Sink
from ocrd.observe.oneline import one_line

LEVELS = {
    Level.ERROR: logging.ERROR,
    Level.WARNING: logging.WARNING,
    Level.NOTICE: logging.INFO,
    Level.INFO: logging.INFO,
    Level.DEBUG: logging.DEBUG,
}


def log_sink(form: str, level: str, stream: TextIO = sys.stderr) -> Sink:
    """A sink that writes each event as one line.

    Args:
        form: `console` (colours), `plain` or `json`; `auto` is `console` on a terminal and
            `plain` otherwise.
        level: The least level to write: `debug`, `info`, `warning` or `error`.
        stream: Where to.
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
        logger.log(LEVELS[event.level], event.name, **event.fields)

    return sink


def _renderers(form: str) -> list[Any]:
    level = structlog.processors.add_log_level
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=False)
    match form:
        case "console":
            clock = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
            return [level, clock, structlog.dev.ConsoleRenderer(pad_event_to=18)]
        case "json":
            return [level, stamp, structlog.processors.JSONRenderer(ensure_ascii=False)]
        case _:
            order = ["timestamp", "level", "event"]
            return [level, stamp, structlog.processors.LogfmtRenderer(key_order=order)]


def _one_line(
    _logger: Any, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """No value may break its line or colour the terminal: file names come from anybody."""
    for key, value in event.items():
        if isinstance(value, str) and key != "traceback":
            event[key] = one_line(value)
    return event
