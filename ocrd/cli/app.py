"""The command line as typer builds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from ocrd import __version__
from ocrd.cli import commands
from ocrd.cli.options import ConfigOption

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
    context: typer.Context,
    config: ConfigOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""
    if config is not None:  # before the command as good as after it
        given = {"config": config}
        context.default_map = dict.fromkeys(commands.COMMANDS, given) | {
            "config": {"check": given, "show": given}
        }


def run(words: Sequence[str]) -> None:
    """Run the command that the words of the command line ask for.

    Raises:
        OcrdError: It failed.
        SystemExit: It ended, or was called wrongly.
    """
    commands.add_to(app, words)
    app()
