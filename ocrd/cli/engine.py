"""`ocrd engine`: what a server has to be started with."""

from __future__ import annotations

from typing import Annotated

import typer

from ocrd.cli.app import ConfigOption

app = typer.Typer(help="What concerns the engine.", no_args_is_help=True)


@app.callback()
def engine() -> None:
    """What concerns the engine."""


@app.command("serve-command")
def serve_command(
    config: ConfigOption = None,
    compose: Annotated[
        bool, typer.Option("--compose", help="A service for a compose file instead.")
    ] = False,
) -> None:
    """Print the command that starts a vLLM server which fits this configuration."""
    from ocrd.config import load
    from ocrd.daemon.engines import server_settings
    from ocrd.engine.remote.settings import compose_service, shell_line

    settings = server_settings(load(config))
    if compose:
        typer.echo(compose_service(settings), nl=False)
    else:
        typer.echo(shell_line(settings))
