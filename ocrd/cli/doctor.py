"""`ocrd doctor`: is everything as it should be, and what to do where it is not?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ocrd.cli.options import ConfigOption, JsonOption
from ocrd.errors import ExitCode

if TYPE_CHECKING:
    from ocrd.daemon.doctor import Finding

MARKS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check folders, shares, disks, ledger and engine."""
    from ocrd.config import load
    from ocrd.daemon.doctor import Verdict, examine

    findings = []
    for finding in examine(load(config)):
        findings.append(finding)
        if not as_json:
            typer.echo("\n".join(_lines(finding)))
    if as_json:
        told = {"version": 1, "findings": [asdict(finding) for finding in findings]}
        json.dump(told, sys.stdout, ensure_ascii=False, indent=2)
        typer.echo()
    if any(finding.verdict is Verdict.PROBLEM for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _lines(finding: Finding) -> list[str]:
    lines = [f"{MARKS[finding.verdict]}  {finding.check}: {finding.found}"]
    if finding.hint:
        lines.append(f"         {finding.hint}")
    return lines
