"""`ocrd run`: the daemon in the foreground."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import ConfigOption

if TYPE_CHECKING:
    from ocrd.config import Config
    from ocrd.errors import ExitCode


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

    from ocrd.allocator import share_arenas
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
            from ocrd.cli.progress import Progress

            with Progress() as bar:
                heard.events.add(bar)
                code = await daemon.run()
        if daemon.left_behind:  # a call that hangs in a share would be waited for
            sys.stderr.flush()
            os._exit(code)
        return code

    with audience(config.settings, level) as heard:
        return asyncio.run(live(heard))
