"""`ocrd config`, `engine`, `doctor`, `rights`: show what is in force, check and repair it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrd.cli import words
from ocrd.cli.app import ConfigOption, JsonOption
from ocrd.errors import ExitCode
from ocrd.views.phrases import counted

if TYPE_CHECKING:
    from ocrd.config import Config

MARKS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}
app = typer.Typer(help="Check or show the configuration.", no_args_is_help=True)
engine_app = typer.Typer(help="What concerns the engine.", no_args_is_help=True)


@app.command()
def check(config: ConfigOption = None) -> None:
    """Say whether the daemon would start with this configuration."""
    from ocrd.config import load
    from ocrd.daemon.doctor import Verdict, groups
    from ocrd.daemon.engines import build_engine, check_modes, missing_packages
    from ocrd.errors import ConfigError

    loaded = load(config)
    for name in loaded.unknown_variables:
        typer.echo(f"warning: the variable {name} names no key and does nothing", err=True)
    if (missing := missing_packages(loaded)) is not None:
        raise ConfigError(f"{loaded.file}: {missing.message}", hint=missing.hint)
    unserved = check_modes(loaded, build_engine(loaded))
    for name, reason in unserved.items():
        typer.echo(f"warning: inbox/{name} will not be watched: {reason}", err=True)
    for finding in groups(loaded):
        if finding.verdict is not Verdict.OK:
            typer.echo(f"warning: {finding.check}: {finding.found}: {finding.hint}", err=True)
    folders = counted(len(loaded.folders) - len(unserved), "folder")
    typer.echo(f"{loaded.file}: ok, {folders}")


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print every value in force and where it came from."""
    from ocrd.config import load

    loaded = load(config)
    rows = [*_in_force(loaded)]
    if as_json:
        words.print_json({"version": 1, "file": str(loaded.file), "values": rows})
        return
    for row in rows:
        value = json.dumps(row["value"], ensure_ascii=False)
        set_to = f"{row['key']} = {value}" if row["value"] is not None else f"{row['key']}: not set"
        typer.echo(f"{set_to}  # {row['origin']}")


def _in_force(loaded: Config) -> Iterator[dict[str, Any]]:
    """Every key with its value in force and its origin; defaults from other keys are filled in."""
    from ocrd.config.load import leaves

    standing_in: dict[str, Any] = {"ledger.path": str(loaded.ledger)}
    for folder in loaded.folders:
        standing_in[f"folder.{folder.name}.max_crops"] = loaded.settings.engine.max_crops
    for key, value in leaves(loaded.settings):
        shown = standing_in.get(key) if value is None else value
        yield {"key": key, "value": shown, "origin": loaded.origins[key]}


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check folders, shares, disks, ledger and engine."""
    from ocrd.config import load
    from ocrd.daemon.doctor import Verdict, examine

    findings = []
    for finding in examine(load(config)):
        findings.append(finding)
        if not as_json:
            typer.echo(f"{MARKS[finding.verdict]}  {finding.check}: {finding.found}")
        if finding.hint and not as_json:
            typer.echo(f"         {finding.hint}")
    if as_json:
        words.print_json({"version": 1, "findings": [each._asdict() for each in findings]})
    if any(finding.verdict is Verdict.PROBLEM for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def rights(config: ConfigOption = None) -> None:
    """Let the daemon into folders that were dropped; a unit does it where the daemon asks."""
    from ocrd.config import load
    from ocrd.daemon.rights import open_up
    from ocrd.files import display

    loaded = load(config)
    below = loaded.root / "inbox"
    tops = [below, *(each.inbox for each in loaded.folders if not each.inbox.is_relative_to(below))]
    left: list[Path] = []
    opened = [path for top in tops for path in open_up(top, left)]
    for path in opened:
        typer.echo(f"{display(path)}: opened to its group")
    for path in left:
        typer.echo(f"{display(path)}: stays closed: sudo ocrd rights opens it", err=True)
    if left:
        raise typer.Exit(ExitCode.FAILED)
    if not opened:
        typer.echo("nothing to open: every folder below the inboxes is open to its group", err=True)


@engine_app.callback()
def engine() -> None:
    """What concerns the engine."""


@engine_app.command("serve-command")
def serve_command(
    config: ConfigOption = None,
    compose: Annotated[
        bool, typer.Option("--compose", help="A service for a compose file instead.")
    ] = False,
) -> None:
    """Print the command that starts a vLLM server which fits this configuration."""
    from ocrd.config import load
    from ocrd.daemon.engines import vllm_settings
    from ocrd.engine.remote.settings import TRUST, compose_service, shell_line

    settings = vllm_settings(load(config))
    if compose:
        typer.echo(compose_service(settings), nl=False)
    else:
        line = shell_line(settings)
        typer.echo(line)
        if TRUST in line:
            typer.echo(f"(vLLM before 0.31 knows no {TRUST}: leave it out there.)", err=True)
