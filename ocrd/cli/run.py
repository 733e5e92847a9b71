"""`ocrd run`: the daemon in the foreground."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import ConfigOption
from ocrd.views.phrases import about, counted

if TYPE_CHECKING:
    from ocrd.config import Config
    from ocrd.errors import ExitCode
    from ocrd.events import Event

MOST_ARENAS = 2
_M_ARENA_MAX = -8  # <malloc.h>


def run(
    config: ConfigOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Work off what lies in the inboxes now, then end.")
    ] = False,
) -> None:
    """Watch the inboxes and work off what is dropped, until stopped."""
    from ocrd.config import load

    _warn_of_the_namesake()
    raise typer.Exit(serve(load(config), once=once))


def _warn_of_the_namesake() -> None:
    """Warn if the package `ocrd` is installed: another project, whose files overwrite ours."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("ocrd")
        typer.echo(
            "ocrd: the package `ocrd` (OCR-D, another project) is installed beside ocrd-daemon, "
            "and each overwrites files of the other\n"
            "  Give ocrd-daemon an environment of its own: pipx install ocrd-daemon.",
            err=True,
        )


def serve(config: Config, *, once: bool) -> ExitCode:
    """Run a daemon to its end.

    Raises:
        OcrdError: The daemon could not start or continue.
    """
    import asyncio

    from ocrd.daemon.daemon import Daemon
    from ocrd.observe.sinks import Audience, audience
    from ocrd.observe.systemd import notifier

    share_arenas()
    supervisor = notifier()
    progress = once and sys.stderr.isatty()
    level = "warning" if progress else config.settings.log.level

    async def live(heard: Audience) -> ExitCode:
        daemon = Daemon(
            config, heard.events, once=once, notifier=supervisor, listeners=heard.listeners
        )
        if not progress:
            code = await daemon.run()
        else:
            with Progress() as bar:
                heard.events.add(bar)
                code = await daemon.run()
        if daemon.left_behind:  # a normal exit would wait for a call that hangs in a share
            sys.stderr.flush()
            os._exit(code)
        return code

    with audience(config.settings, level) as heard:
        return asyncio.run(live(heard))


def share_arenas() -> None:
    """Let the daemon's threads share a few malloc arenas.  Children have their own setting.

    glibc's malloc gives each thread an arena of its own, up to eight for each core, and memory
    freed in one is not used by another (https://man7.org/linux/man-pages/man3/mallopt.3.html).  So
    a daemon whose threads come and go grows for days by fragmentation, though it holds no more.

    Does nothing if the operator has set `MALLOC_ARENA_MAX`, or if the C library has no `mallopt`.
    Threads that are already running keep their arenas.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MOST_ARENAS)


class Progress:
    """A progress bar on a terminal, fed by events: files, pages per second, time left.

    The time left is an estimate: the pages of opened files are known, and waiting files are
    assumed to have as many pages as those on average.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bars

        from ocrd.daemon.status import Rates

        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.fields[stage]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files  {task.fields[speed]}"),
            console=Console(stderr=True),
        )
        self._rates = Rates()
        self._task = self._bars.add_task("run", total=0, stage="starting", speed="")
        self._files = 0
        self._ended = 0
        self._opened = 0
        self._pages_known = 0

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        """Update the bar for one event."""
        from ocrd.daemon.status import JOB_ENDS, PAGE_EVENTS

        self._rates(event)
        if event.name == "engine.progress":
            self._bars.update(self._task, stage=f"engine: {event.fields['stage']}")
        elif event.name == "engine.ready":
            self._bars.update(self._task, stage="reading")
        elif event.name == "job.queued":
            self._files += 1
        elif event.name == "job.started":
            self._opened += 1
            self._pages_known += int(event.fields.get("pages") or 0)
        elif event.name in JOB_ENDS:
            self._ended += 1
        elif event.name not in PAGE_EVENTS:
            return
        self._bars.update(self._task, total=self._files, completed=self._ended, speed=self._speed())

    def _speed(self) -> str:
        rate = self._rates.pages_per_s()
        pages = counted(self._rates.pages, "page")
        if rate <= 0:
            return pages
        mean = self._pages_known / self._opened if self._opened else 1.0
        expected = self._pages_known + mean * max(0, self._files - self._opened)
        left = max(0.0, expected - self._rates.pages) / rate
        return f"{pages}  {rate:.2f} pages/s  {about(left)} left"
