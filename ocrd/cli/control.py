"""`ocrd retry`, `cancel`, `pause`, `resume`: requests to the daemon.

A member of the daemon's group leaves a request in the spool (`ocrd.requests`), and the daemon
carries it out.  If none runs, the command itself retries or cancels, if it may write the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrd.cli.app import MOST, ConfigOption, folder_names
from ocrd.cli.jobs import known_folders, no_such_job, require_folder
from ocrd.errors import ExitCode, UsageError
from ocrd.job import Job, JobState, Place
from ocrd.requests import ask
from ocrd.views.locate import asked, locate

DONE = {"retry": "job {} is queued again", "cancel": "job {} is being cancelled"}
_READ_ANEW = (  # the same bytes are not recognised twice
    "to have it read anew, set `reuse_results = false` in [engine], restart the daemon"
    " and drop the file again"
)
NumbersArgument = Annotated[list[int] | None, typer.Argument(min=1, max=MOST, help="Job numbers.")]
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
    chosen: dict[str, Any] = {"failed": True} if failed else {"jobs": numbers}
    _request(config, {"do": "retry", **chosen}, _why_not_retried)


def cancel(numbers: NumbersArgument = None, config: ConfigOption = None) -> None:
    """Stop queued or running jobs; their originals go to failed/."""
    if not numbers:
        raise UsageError("name the jobs to cancel", hint="ocrd cancel 12 13")
    _request(config, {"do": "cancel", "jobs": numbers}, _why_not_cancelled)


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


def _request(config: Path | None, request: dict[str, Any], why_not: Callable[[Job], str]) -> None:
    """Have a request carried out, and print for each job that it was, or why it was not.

    Raises:
        UsageError: There is no job of some number; the others have been dealt with.
    """
    from ocrd.config import load
    from ocrd.daemon import requests

    found, verb = locate(config), request["do"]
    answer = requests.request(found.spool, request, lambda: load(config))
    for job in answer["jobs"]:
        typer.echo(f"{DONE[verb].format(job['id'])}: {job['source']}")
    if answer["jobs"] and verb == "retry" and found.pid is None:
        typer.echo("no daemon runs; they wait for `ocrd run`", err=True)
    for number in answer["unknown"]:
        raise no_such_job(number)
    left = asked(config, lambda ledger: [ledger.job(number) for number in answer["left"]])
    for job in filter(None, left):
        typer.echo(f"job {job.id} {why_not(job)}", err=True)
    if any(left):
        raise typer.Exit(ExitCode.FAILED)


def _why_not_retried(job: Job) -> str:
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        again = f"; {_READ_ANEW}" if job.state is JobState.DONE else ""
        why = f"it is {job.state}, and only failed and cancelled jobs are retried{again}"
    elif job.place is Place.GONE:
        why = "its original is gone; drop the file again"
    else:
        why = "a newer job stands for the same file; `ocrd jobs` lists it"
    return f"was left as it is: {why}"


def _why_not_cancelled(job: Job) -> str:
    if job.cancel_requested:
        return "is being cancelled already; nothing to cancel"
    if job.state is JobState.DELIVERING or job.ending is not None:
        return "is being delivered; nothing to cancel"
    return f"has ended: {job.state}; nothing to cancel"
