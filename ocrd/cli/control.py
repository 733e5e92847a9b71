"""`ocrd retry`, `cancel`, `pause`, `resume`: what people ask of the daemon.

Who may write the ledger changes it; a member of the daemon's group leaves a request in the spool
(`ocrd.requests`), which the daemon carries out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrd.cli.app import ConfigOption, folder_names
from ocrd.cli.jobs import known_folders, no_such_job, require_folder
from ocrd.errors import ExitCode, UsageError
from ocrd.files import display
from ocrd.job import Job, JobState, Place
from ocrd.requests import ask
from ocrd.views.locate import Located, asked, locate, opened

if TYPE_CHECKING:
    from ocrd.ledger.ledger import Ledger

DONE = {"retry": "job {} is queued again", "cancel": "job {} is being cancelled"}
NumbersArgument = Annotated[list[int] | None, typer.Argument(help="Job numbers.")]
FolderArgument = Annotated[
    str | None,
    typer.Argument(help="The folder.", autocompletion=folder_names, show_default=False),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every folder.")]


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
    found = locate(config)
    if _through_the_daemon(found):
        chosen = numbers or asked(config, _failed)
        left = _requested(found, config, "retry", chosen)
    else:
        with opened(found) as ledger:
            _refuse_unknown(ledger, numbers or [])
            put_back = ledger.retry(None if failed else numbers)
            left = _left_out(ledger, set(numbers or []) - {job.id for job in put_back})
        for job in put_back:
            typer.echo(f"{DONE['retry'].format(job.id)}: {display(job.source)}")
        if put_back and found.pid is None:
            typer.echo("no daemon runs; they wait for `ocrd run`", err=True)
    for job in left:
        typer.echo(f"job {job.id} was left as it is: {_why_not_retried(job)}", err=True)
    if left:
        raise typer.Exit(ExitCode.FAILED)


def cancel(numbers: NumbersArgument = None, config: ConfigOption = None) -> None:
    """Stop queued or running jobs; their originals go to failed/."""
    if not numbers:
        raise UsageError("name the jobs to cancel", hint="ocrd cancel 12 13")
    found = locate(config)
    if _through_the_daemon(found):
        left = _requested(found, config, "cancel", numbers)
    else:
        with opened(found) as ledger:
            _refuse_unknown(ledger, numbers)
            taken = ledger.request_cancel(numbers)
            left = _left_out(ledger, set(numbers) - {job.id for job in taken})
        if found.pid is None:
            _carry_out(config)
        for job in taken:
            typer.echo(f"{DONE['cancel'].format(job.id)}: {display(job.source)}")
    for job in left:
        typer.echo(f"job {job.id} {_why_not_cancelled(job)}; nothing to cancel", err=True)
    if left:
        raise typer.Exit(ExitCode.FAILED)


def pause(
    folder: FolderArgument = None, everything: AllOption = False, config: ConfigOption = None
) -> None:
    """Leave the files of a folder waiting until it is resumed; what is under way is finished."""
    _hold(config, "pause", folder, everything=everything)


def resume(
    folder: FolderArgument = None, everything: AllOption = False, config: ConfigOption = None
) -> None:
    """Go on with a folder that was paused."""
    _hold(config, "resume", folder, everything=everything)


def _hold(config: Path | None, verb: str, folder: str | None, *, everything: bool) -> None:
    if (folder is None) != everything:
        raise UsageError(
            f"name the folder to {verb}, or say --all", hint=f"ocrd {verb} FOLDER, or --all"
        )
    if folder is not None:
        require_folder(folder, known_folders(config))
    chosen: dict[str, Any] = {"all": True} if everything else {"folders": [folder]}
    found = locate(config)
    if found.pid is None:
        typer.echo(f"no daemon runs that could {verb}: systemctl start ocrd, or ocrd run", err=True)
        raise typer.Exit(ExitCode.NOT_RUNNING)
    answer = ask(found.spool, {"do": verb, **chosen})
    for name in answer["folders"]:
        typer.echo(f"{name} is {verb}d")


def _through_the_daemon(found: Located) -> bool:
    """Whether this user may look, but not write: then the daemon, if one runs, does it."""
    return found.pid is not None and not os.access(found.ledger, os.W_OK)


def _requested(found: Located, config: Path | None, verb: str, numbers: list[int]) -> list[Job]:
    """Ask the daemon, which answers for each job; those that it left as they were."""
    answer = ask(found.spool, {"do": verb, "jobs": numbers})
    for number in answer["unknown"]:
        raise no_such_job(number)
    for job in answer["jobs"]:
        typer.echo(f"{DONE[verb].format(job['id'])}: {display(job['source'])}")
    return asked(config, lambda ledger: _left_out(ledger, set(answer["left"])))


def _failed(ledger: Ledger) -> list[int]:
    return [job.id for job in ledger.jobs(state=JobState.FAILED, limit=sys.maxsize)]


def _refuse_unknown(ledger: Ledger, numbers: list[int]) -> None:
    for number in numbers:
        if ledger.job(number) is None:
            raise no_such_job(number)


def _left_out(ledger: Ledger, numbers: set[int]) -> list[Job]:
    return [job for job in map(ledger.job, sorted(numbers)) if job is not None]


def _why_not_retried(job: Job) -> str:
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        again = "; drop the file again to have it read anew" if job.state is JobState.DONE else ""
        return f"it is {job.state}, and only failed and cancelled jobs are retried{again}"
    if job.place is Place.GONE:
        return "its original is gone; drop the file again"
    return "a newer job stands for the same file; `ocrd jobs` lists it"


def _why_not_cancelled(job: Job) -> str:
    if job.cancel_requested:
        return "is being cancelled already"
    if job.state is JobState.DELIVERING or job.ending is not None:
        return "is being delivered"
    return f"has ended: {job.state}"


def _carry_out(config: Path | None) -> None:
    """No daemon does it, so this command does, in the daemon's place."""
    from ocrd.config import load
    from ocrd.daemon.recover import carry_out_cancellations

    carry_out_cancellations(load(config))
