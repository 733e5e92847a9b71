"""Which sinks a configuration asks for."""

from __future__ import annotations

from collections.abc import Iterator

from ocrd.config import Settings
from ocrd.events import Sink
from ocrd.observe.journal import journal_sink, under_systemd
from ocrd.observe.log import log_sink


def sinks(settings: Settings, level: str) -> Iterator[Sink]:
    """The log, wherever it goes.

    Args:
        settings: What is asked for.
        level: The least level to tell: `debug`, `info`, `warning` or `error`.
    """
    form = settings.log.format
    if form == "journal" or (form == "auto" and under_systemd()):
        yield journal_sink(level)
    else:
        yield log_sink(form, level)
