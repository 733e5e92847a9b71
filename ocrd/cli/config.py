"""`ocrd config`: is the configuration right, and what is in force?"""

from __future__ import annotations

import json
import sys

import typer

from ocrd.cli.options import ConfigOption, JsonOption

app = typer.Typer(help="Check or show the configuration.", no_args_is_help=True)


@app.command()
def check(config: ConfigOption = None) -> None:
    """Say whether the daemon would start with this configuration."""
    from ocrd.config import load
    from ocrd.daemon.doctor import Verdict, groups
    from ocrd.daemon.engines import build_engine, check_modes

    loaded = load(config)
    unserved = check_modes(loaded, build_engine(loaded))
    for name, reason in unserved.items():
        typer.echo(f"warning: inbox/{name} will not be watched: {reason}", err=True)
    for finding in groups(loaded):
        if finding.verdict is not Verdict.OK:
            typer.echo(f"warning: {finding.check}: {finding.found}: {finding.hint}", err=True)
    folders = len(loaded.folders) - len(unserved)
    typer.echo(f"{loaded.file}: ok, {folders} folder{'' if folders == 1 else 's'}")


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print every value in force and where it came from."""
    from ocrd.config import load
    from ocrd.config.load import leaves

    loaded = load(config)
    rows = [
        {"key": key, "value": value, "origin": loaded.origins[key]}
        for key, value in leaves(loaded.settings)
    ]
    if as_json:
        whole = {"version": 1, "file": str(loaded.file), "values": rows}
        json.dump(whole, sys.stdout, ensure_ascii=False, indent=2)
        typer.echo()
        return
    for row in rows:
        typer.echo(
            f"{row['key']} = {json.dumps(row['value'], ensure_ascii=False)}  # {row['origin']}"
        )
