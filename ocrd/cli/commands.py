"""Which commands there are.  Each lives in a module of its own, imported when it is called for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import typer

COMMANDS = {
    "run": "ocrd.cli.run:run",
    "status": "ocrd.cli.watch:status",
    "jobs": "ocrd.cli.jobs:jobs",
    "show": "ocrd.cli.jobs:show",
    "retry": "ocrd.cli.requests:retry",
    "cancel": "ocrd.cli.requests:cancel",
    "submit": "ocrd.cli.requests:submit",
    "logs": "ocrd.cli.logs:logs",
    "estimate": "ocrd.cli.estimate:estimate",
    "install": "ocrd.cli.install:install",
    "doctor": "ocrd.cli.doctor:doctor",
    "config": "ocrd.cli.config:app",
    "demo": "ocrd.cli.demo:demo",
}


def add_to(app: typer.Typer, words: Sequence[str]) -> None:
    """Register the command that the first word names; all of them when it names none.

    A command's options take time to prepare: `ocrd status` does not wait for those of the others.
    """
    named = [words[0]] if words and words[0] in COMMANDS else list(COMMANDS)
    for name in named:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
