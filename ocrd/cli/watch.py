"""`ocrd status` as the command line declares it, `--watch` included."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from ocrd.cli.locate import locate
from ocrd.cli.options import ConfigOption, JsonOption
from ocrd.cli.status import gather, tell

WATCH_S = 1.0


def status(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it.")] = False,
) -> None:
    """Daemon, engine and folders: what waits, runs, is done, has failed."""
    if not watch:
        tell(config, as_json=as_json)
        return
    try:
        if as_json:
            _stream(config)
        else:
            _watch(config)
    except KeyboardInterrupt:
        raise typer.Exit from None


def _stream(config: Path | None) -> None:
    """A line of JSON each time."""
    while True:
        print(json.dumps(gather(locate(config)), ensure_ascii=False), flush=True)
        time.sleep(WATCH_S)


def _watch(config: Path | None) -> None:
    from rich.live import Live

    from ocrd.cli.table import status_view

    with Live(status_view(gather(locate(config))), screen=True) as live:
        while True:
            time.sleep(WATCH_S)
            live.update(status_view(gather(locate(config))))
