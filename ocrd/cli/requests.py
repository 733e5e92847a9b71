"""`ocrd retry`, `ocrd cancel`, `ocrd submit`: what an operator asks of the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.jobs import no_such_job
from ocrd.cli.opened import ledger
from ocrd.cli.options import ConfigOption
from ocrd.errors import UsageError
from ocrd.files import display

if TYPE_CHECKING:
    from ocrd.config import Folder
    from ocrd.ledger.ledger import Ledger

NumbersArgument = Annotated[list[int] | None, typer.Argument(help="Job numbers.")]


def retry(
    numbers: NumbersArgument = None,
    config: ConfigOption = None,
    failed: Annotated[bool, typer.Option("--failed", help="All jobs that failed.")] = False,
) -> None:
    """Put failed or cancelled jobs back into the queue."""
    if bool(numbers) == failed:
        raise UsageError(
            "name jobs, or say --failed for all that failed", hint="ocrd retry 12 13, or --failed"
        )
    with ledger(config) as (found, opened):
        _refuse_unknown(opened, numbers or [])
        put_back = opened.retry(None if failed else numbers)
    for job in put_back:
        typer.echo(f"job {job.id} is queued again: {display(job.source)}")
    left = sorted(set(numbers or []) - {job.id for job in put_back})
    for number in left:
        typer.echo(f"job {number} was left as it is; `ocrd show {number}` tells why", err=True)
    if put_back and found.pid is None:
        typer.echo("no daemon runs; they wait for `ocrd run`", err=True)
    if left:
        raise typer.Exit(1)


def cancel(numbers: NumbersArgument = None, config: ConfigOption = None) -> None:
    """Stop queued or running jobs; their originals go to failed/."""
    if not numbers:
        raise UsageError("name the jobs to cancel", hint="ocrd cancel 12 13")
    with ledger(config) as (found, opened):
        _refuse_unknown(opened, numbers)
        asked = opened.request_cancel(numbers)
    if found.pid is None:
        _carry_out(config)
    for job in asked:
        typer.echo(f"job {job.id} is being cancelled: {display(job.source)}")
    left = sorted(set(numbers) - {job.id for job in asked})
    for number in left:
        typer.echo(f"job {number} has ended or is being delivered; nothing to cancel", err=True)
    if left:
        raise typer.Exit(1)


def _carry_out(config: Path | None) -> None:
    """No daemon does it, so this command does, in the daemon's place."""
    from ocrd.config import load
    from ocrd.daemon.alone import carry_out_cancellations

    carry_out_cancellations(load(config))


def _refuse_unknown(opened: Ledger, numbers: list[int]) -> None:
    for number in numbers:
        if opened.job(number) is None:
            raise no_such_job(number)


def submit(
    files: Annotated[list[Path], typer.Argument(help="Files, or folders of them, to have read.")],
    folder: Annotated[str, typer.Option("--folder", "-f", help="Into whose inbox.")],
    config: ConfigOption = None,
) -> None:
    """Copy files into an inbox: they appear there whole or not at all."""
    from ocrd.config import load
    from ocrd.inbox import submit as handing_over
    from ocrd.inbox.join import rule_for

    loaded = load(config)
    into = loaded.folder(folder)
    if into is None:
        known = ", ".join(each.name for each in loaded.folders) or "none is configured"
        raise UsageError(f"there is no folder {folder!r}", hint=f"Folders: {known}.")
    for file in files:
        if not file.is_dir() and not _takes(file.name, into):
            raise _left_alone(file.name, into)
    rule = rule_for(into.join, into.join_pattern, into.join_pause_s)
    owner = handing_over.daemon_user(loaded.spool)
    for file in files:
        alone = rule is None or (not file.is_dir() and rule.bin(file.name) is None)
        placed = handing_over.submit(
            file,
            into.inbox,
            done_marker=into.done_marker if alone else "",  # the others wait for a pause
            takes=lambda path: _takes(path, into),
            owner=owner,
        )
        for path in placed:
            typer.echo(display(path))


def _takes(path: str, folder: Folder) -> bool:
    """Whether a file at this path below the inbox would not lie there unread."""
    from ocrd.inbox.marker import Marker
    from ocrd.inbox.names import ignored, included

    marks = bool(folder.done_marker) and Marker(folder.done_marker).is_one(path)
    left_alone = marks or any(ignored(name, folder.ignore) for name in path.split("/"))
    return not left_alone and included(path, folder.include, folder.ignore)


def _left_alone(name: str, folder: Folder) -> UsageError:
    return UsageError(
        f"{display(name)}: folder {folder.name!r} leaves files of such a name alone",
        hint="Give it another name: its `include`, `ignore` and `done_marker` say which are "
        "taken, and hidden names and the usual temporaries (*.part, *.tmp) never are.",
    )
