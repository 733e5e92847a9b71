"""The sinks that the configuration asks for: the log or the journal, metrics, notices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ocrd.config import Settings
from ocrd.errors import PlaceError
from ocrd.events import Events, Sink
from ocrd.observe.log import journal_sink, log_sink, standard_error_apart
from ocrd.observe.metrics import Metrics
from ocrd.observe.notices import Notices


class Audience(NamedTuple):
    """The stream of events, with its sinks, and the listeners to the daemon's status."""

    events: Events
    listeners: list[Callable[[Mapping[str, Any]], None]]


@contextmanager
def audience(settings: Settings, level: str) -> Iterator[Audience]:
    """Set up the audience of a run; at its end, pending notices are sent.

    Raises:
        PlaceError: The metrics' port is taken.
    """
    with ExitStack() as undo:
        gathered = Audience(events := Events(), [])
        events.add(_log(settings, level, events, undo))
        if settings.metrics.port or settings.metrics.textfile:
            _add_metrics(gathered, settings, undo)
        notify = settings.notify
        if notify.on_done or notify.on_failed or notify.webhook or notify.mail_to:
            events.add(notices := Notices(notify, events))
            undo.callback(notices.stop)
        yield gathered


def _log(settings: Settings, level: str, events: Events, undo: ExitStack) -> Sink:
    form = settings.log.format
    under_systemd = "JOURNAL_STREAM" in os.environ  # where all output goes to the journal anyway
    if form == "journal" or (form == "auto" and under_systemd):
        return journal_sink(level)
    if form == "json":
        told = standard_error_apart(lambda line: events.emit("engine.output", line=line))
        return log_sink(form, level, undo.enter_context(told))
    return log_sink(form, level)


def _add_metrics(gathered: Audience, settings: Settings, undo: ExitStack) -> None:
    metrics = Metrics()
    gathered.events.add(metrics)
    gathered.listeners.append(metrics.stand)
    if settings.metrics.textfile:
        gathered.listeners.append(_writer(metrics, settings.metrics.textfile, gathered.events))
    if settings.metrics.port:
        try:
            undo.callback(metrics.serve(settings.metrics.port))
        except OSError as error:
            raise PlaceError(
                f"metrics.port {settings.metrics.port}: {error.strerror}",
                hint="Choose a free port, or 0 for none.",
                kind="port-taken",
            ) from None


def _writer(metrics: Metrics, file: Path, events: Events) -> Callable[[Mapping[str, Any]], None]:
    """A listener that writes the file each time; logs only the first of successive failures."""
    told = False

    def write(_facts: Mapping[str, Any]) -> None:
        nonlocal told
        try:
            metrics.write(file)
        except OSError as error:
            if not told:
                hint = "Make its folder, writable for the daemon (ReadWritePaths= in the unit)."
                events.warn("metrics.unwritten", file=str(file), error=error.strerror, hint=hint)
            told = True
        else:
            told = False

    return write
