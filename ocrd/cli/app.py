"""The command line as typer builds it.  The module of a command is imported only when needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from ocrd import __version__

COMMANDS = {
    "run": "ocrd.cli.run:run",
    "status": "ocrd.cli.app:status",
    "jobs": "ocrd.cli.jobs:jobs",
    "show": "ocrd.cli.jobs:show",
    "search": "ocrd.cli.jobs:search",
    "logs": "ocrd.cli.jobs:logs",
    "submit": "ocrd.cli.submit:submit",
    "estimate": "ocrd.cli.submit:estimate",
    "retry": "ocrd.cli.control:retry",
    "cancel": "ocrd.cli.control:cancel",
    "pause": "ocrd.cli.control:pause",
    "resume": "ocrd.cli.control:resume",
    "config": "ocrd.cli.config:app",
    "engine": "ocrd.cli.config:engine_app",
    "doctor": "ocrd.cli.config:doctor",
    "rights": "ocrd.cli.config:rights",
    "backup": "ocrd.cli.install:backup",
    "install": "ocrd.cli.install:install",
    "uninstall": "ocrd.cli.install:uninstall",
    "web": "ocrd.web.command:web",
    "demo": "ocrd.cli.demo:demo",
    "version": "ocrd.cli.app:version",
}
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Configuration file; else $OCRD_CONFIG, else /etc/ocrd/config.toml.",
        show_default=False,
    ),
]
MOST = 2**63 - 1  # the largest number that the ledger knows
JsonOption = Annotated[bool, typer.Option("--json", help="Stable JSON for programs.")]


def folder_names(context: typer.Context) -> list[str]:
    """The names that `--folder` accepts, for completion by the shell; empty if unknown."""
    from ocrd.views.locate import locate

    with contextlib.suppress(Exception):  # a shell completes, and shows no errors
        return list(locate(context.params.get("config")).folders)
    return []


FolderOption = Annotated[
    str | None,
    typer.Option("--folder", "-f", help="Only of this folder.", autocompletion=folder_names),
]


def status(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it.")] = False,
) -> None:
    """Daemon, engine and folders: what waits, runs, is done, has failed."""
    from ocrd.cli import status as asked

    if not watch:
        raise typer.Exit(asked.tell(config, as_json=as_json))
    with contextlib.suppress(KeyboardInterrupt):
        asked.watch(config, as_json=as_json)


def version() -> None:
    """Say which version this is."""
    typer.echo(f"ocrd {__version__}")


def _version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


def options(
    context: typer.Context,
    config: ConfigOption = None,
    asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""
    del asked
    if config is not None:  # `--config` may also stand before the command
        given = {"config": config}
        context.default_map = dict.fromkeys(COMMANDS, given) | {
            "config": {"check": given, "show": given},
            "engine": {"serve-command": given},
        }


def build(names: Iterable[str] = tuple(COMMANDS)) -> typer.Typer:
    """The command line, with only the commands of these names."""
    app = typer.Typer(
        name="ocrd",
        help="Scans dropped into inbox folders become text, Markdown and searchable PDFs.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for name in names:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def run(words: Sequence[str]) -> None:
    """Run the command that the words of the command line ask for.

    Raises:
        OcrdError: The command failed.
        SystemExit: The command ended, or was called wrongly.
    """
    # Preparing a command's options takes time, so only those of the command named are prepared.
    named = [words[0]] if words and words[0] in COMMANDS else COMMANDS
    build(named)(list(words))
