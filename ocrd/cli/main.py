"""`ocrd`: the commands, and how their errors are told."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ocrd import __version__
from ocrd.cli import commands
from ocrd.errors import ExitCode, OcrdError

app = typer.Typer(
    name="ocrd",
    help="Scans dropped into inbox folders become text, Markdown and searchable PDFs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ocrd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Run a command; an error goes to stderr with its remedy, and decides the exit code."""
    commands.add_to(app, sys.argv[1:])
    try:
        app()
    except OcrdError as error:
        typer.echo(f"ocrd: {error.message}\n  {error.hint}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `ocrd jobs | head`
        sys.stderr.close()
        sys.exit(ExitCode.OK)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
