"""`ocrd jobs` and `ocrd show`: the ledger, read out."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrd.cli.opened import asked
from ocrd.cli.options import ConfigOption, JsonOption
from ocrd.errors import UsageError
from ocrd.files import display
from ocrd.job import Job, JobError, JobState, Page, Place

if TYPE_CHECKING:
    from ocrd.ledger.history import Entry

LISTED = 50  # jobs on a terminal, where nobody says how many
SHOWN = 20  # files of a joined document that are named
JobArgument = Annotated[int, typer.Argument(help="The job's number, as `ocrd jobs` shows it.")]


def jobs(
    config: ConfigOption = None,
    state: Annotated[
        JobState | None, typer.Option("--state", "-s", help="Only jobs in this state.")
    ] = None,
    folder: Annotated[
        str | None, typer.Option("--folder", "-f", help="Only jobs of this folder.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", min=1, help="At most so many; else 50 on a terminal, or all."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    table = sys.stdout.isatty() and not as_json
    most = limit or (LISTED if table else sys.maxsize)
    found = asked(config, lambda opened: opened.jobs(state=state, folder=folder, limit=most))
    if as_json:
        _dump({"version": 1, "jobs": [job_facts(job) for job in found]})
    elif table:
        from rich.console import Console

        from ocrd.cli.table import jobs_view

        Console().print(jobs_view(found))
    else:
        for job in found:
            print(_line(job))


def show(number: JobArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Tell the story of one job."""
    job, pages, history = asked(
        config, lambda opened: (opened.job(number), opened.pages(number), opened.events(number))
    )
    if job is None:
        raise no_such_job(number)
    if as_json:
        told = [{"at": each.at, "name": str(each.name), "detail": each.detail} for each in history]
        _dump({"version": 1, **job_facts(job), "page_list": _pages(pages), "history": told})
    else:
        print("\n".join(story(job, pages, history)))


def no_such_job(number: int) -> UsageError:
    """The error for a number that the ledger does not have."""
    return UsageError(f"there is no job {number}", hint="`ocrd jobs` lists the jobs there are.")


def job_facts(job: Job) -> dict[str, Any]:
    """A job as `--json` tells it; paths are shown with anything unprintable escaped."""
    return {
        "id": job.id,
        "folder": job.folder,
        "source": display(job.source),
        "members": [display(member.source) for member in job.members],
        "state": job.state.value,
        "place": job.place.value,
        "attempts": job.attempts,
        "pages": job.pages,
        "pages_done": job.pages_done,
        "size": job.size,
        "sha256": job.sha256,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "outputs": _path(job.outputs),
        "archived_to": None if job.place is Place.GONE else _path(job.archived_to),
        "failed_to": _path(job.failed_to),
        "error": _error(job.error),
    }


def _path(path: str | None) -> str | None:
    return None if path is None else display(path)


def _error(error: JobError | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"kind": error.kind, "message": error.message, "hint": error.hint}


def _pages(pages: list[Page]) -> list[dict[str, Any]]:
    return [
        {
            "number": page.number,
            "state": page.state.value,
            "tries": page.tries,
            "tokens": page.tokens,
            "seconds": round(page.seconds, 3),
            "reused": page.reused,
            "error": _error(page.error),
        }
        for page in pages
    ]


def _line(job: Job) -> str:
    pages = f"{job.pages_done}/{job.pages}" if job.pages is not None else "-"
    joined = f"{files(len(job.members))}, " if job.members else ""
    error = f"  {job.error.kind}: {job.error.message}" if job.error else ""
    source = display(job.source)
    return f"{job.id}  {job.state}  {job.folder}  {source}  {joined}{pages} pages{error}"


def story(job: Job, pages: list[Page], history: list[Entry]) -> list[str]:
    """What happened to a job, in plain words."""
    lines = [f"job {job.id}: {display(job.source)} in {job.folder}", f"state: {job.state}"]
    if job.members:
        lines.append(f"{files(len(job.members))}: {_names(job)}")
    if job.pages is not None:
        lines.append(f"pages: {job.pages_done} of {job.pages} finished")
    if job.attempts > 1:
        lines.append(f"attempts: {job.attempts}")
    lines += [
        f"{name}: {display(path)}"
        for name, path in (
            ("results", job.outputs),
            ("original", _original(job)),
        )
        if path
    ]
    if job.error:
        lines += [f"{job.error.kind}: {job.error.message}", f"what to do: {job.error.hint}"]
    lines += [
        f"page {page.number}: {page.state}: {page.error.message} - {page.error.hint}"
        for page in pages
        if page.error
    ]
    lines.append("history:")
    lines += [f"  {clock(each.at)}  {each.name}  {each.detail}".rstrip() for each in history]
    return lines


def _original(job: Job) -> str | None:
    """Where the original lies; or, of a done job whose archive it has left, where it lay."""
    if job.place is Place.GONE and job.archived_to:
        return f"no longer in the archive ({job.archived_to})"
    return job.archived_to or job.failed_to


def files(count: int) -> str:
    """So many files."""
    return f"{count} file" if count == 1 else f"{count} files"


def _names(job: Job) -> str:
    """What a joined document consists of; it has one folder, so the names tell them apart."""
    shown = [display(member.name) for member in job.members[:SHOWN]]
    rest = len(job.members) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def clock(seconds: float) -> str:
    """Local date and time, to the second."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _dump(facts: dict[str, Any]) -> None:
    json.dump(facts, sys.stdout, ensure_ascii=False, indent=2)
    print()
