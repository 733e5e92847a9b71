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
    """The package `ocrd` on the index is another project, whose files lie where ours do."""
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
        OcrdError: It could not start or go on.
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
        if daemon.left_behind:  # a call that hangs in a share would be waited for
            sys.stderr.flush()
            os._exit(code)
        return code

    with audience(config.settings, level) as heard:
        return asyncio.run(live(heard))


def share_arenas() -> None:
    """Let the daemon's threads share a few arenas of memory.  Children keep their own way.

    glibc's malloc gives each thread an arena of its own, up to eight for each core, and what is
    freed in one serves no other (https://man7.org/linux/man-pages/man3/mallopt.3.html).  A daemon
    whose threads come and go thus grows for days, by fragments, though nothing in it does.

    Nothing happens where the operator has said how many (`MALLOC_ARENA_MAX`), or where the C
    library is none that has arenas.  Threads that run already keep the arenas that they have.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MOST_ARENAS)


class Progress:
    """A bar on a terminal, drawn by what the events tell: files, pages a second, time left.

    The time left is an estimate: pages of files that were opened are known, and files still
    waiting are taken to have as many pages as those on average.
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
        """Draw one event."""
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
