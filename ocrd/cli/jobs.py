"""`ocrd jobs`, `ocrd show` and `ocrd logs`: what happened to files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrd.cli import words
from ocrd.cli.app import ConfigOption, FolderOption, JsonOption
from ocrd.cli.locate import asked, locate
from ocrd.errors import OcrdError, UsageError
from ocrd.files import display
from ocrd.job import Job, JobError, JobState, Page, Place

if TYPE_CHECKING:
    from ocrd.ledger.transitions import Entry

LISTED = 50  # jobs on a terminal, where nobody says how many
SHOWN = 20  # files of a joined document that are named
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
JobArgument = Annotated[int, typer.Argument(help="The job's number, as `ocrd jobs` shows it.")]


def jobs(
    name: Annotated[
        str | None, typer.Argument(help="Only files with this in their name.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    state: Annotated[
        JobState | None, typer.Option("--state", "-s", help="Only jobs in this state.")
    ] = None,
    folder: FolderOption = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only jobs from then on: 2h, 3d, today, 2026-11-29, 2026-11-29T08:00."),
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
    begin = None if since is None else moment(since)
    if folder is not None:
        require_folder(folder, known_folders(config))
    chosen: dict[str, Any] = {"state": state, "folder": folder, "since": begin, "name": name}
    found, total = asked(
        config, lambda ledger: (ledger.jobs(**chosen, limit=most), ledger.count(**chosen))
    )
    if as_json:
        told = [job_facts(job) for job in found]
        words.print_json({"version": 1, "total": total, "jobs": told})
        return
    print("\n".join(_table(found) if table else map(_line, found)), end="\n" if found else "")
    if len(found) < total:
        shown = f"{len(found):,} of {words.counted(total, 'job')}"
        typer.echo(f"{shown}; --limit {total} shows all", err=not table)


def known_folders(config: Path | None) -> list[str]:
    """Folders as configured, and those that only the ledger still knows."""
    from ocrd.ledger.readonly import glance

    found = locate(config)
    counted = [each.folder for each in glance(found.ledger).folders]
    told = [each["name"] for each in found.word.get("folders", ())]
    return [*dict.fromkeys([*found.folders, *told, *counted])]


def require_folder(name: str, known: Collection[str]) -> None:
    """Refuse a folder that there is not.

    Raises:
        UsageError: It is not one of those known.
    """
    if name not in known:
        raise UsageError(
            f"there is no folder {name!r}",
            hint=f"Folders: {', '.join(known) or 'none is configured'}.",
        )


def moment(text: str, now: float | None = None) -> float:
    """What `--since` means, in seconds since the epoch.

    Raises:
        UsageError: It is no moment.
    """
    here = datetime.fromtimestamp(time.time() if now is None else now).astimezone()
    ago = re.fullmatch(r"(\d+)\s*([mhdw])", text)
    if ago:
        return (here - timedelta(**{UNITS[ago[2]]: int(ago[1])})).timestamp()
    if text == "today":
        return here.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise UsageError(
            f"--since {text}: no moment", hint="Say 30m, 2h, 3d, 1w, today, or 2026-11-29T08:00."
        ) from None


def _table(found: list[Job]) -> list[str]:
    now, heads = time.time(), ["job", "when", "state", "folder", "file", "pages", "error"]
    rows = [
        [
            str(job.id),
            words.when(job.finished_at or job.created_at, now),
            str(job.state),
            job.folder,
            display(job.source),
            "" if job.pages is None else f"{job.pages_done}/{job.pages}",
            job.error.message if job.error else "",
        ]
        for job in found
    ]
    return words.table(heads, rows, right=["job", "pages"], give=["folder", "file", "error"])


def show(number: JobArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Tell the story of one job."""
    job, pages, history = asked(
        config, lambda ledger: (ledger.job(number), ledger.pages(number), ledger.events(number))
    )
    if job is None:
        raise no_such_job(number)
    if as_json:
        told = [
            {"at": words.iso(each.at), "name": str(each.name), "detail": each.detail}
            for each in history
        ]
        facts = {**job_facts(job), "page_list": _pages(pages), "history": told}
        words.print_json({"version": 1, **facts})
    else:
        print("\n".join(story(job, pages, history)))


def no_such_job(number: int) -> UsageError:
    """The error for a number that the ledger does not have."""
    return UsageError(f"there is no job {number}", hint="`ocrd jobs` lists the jobs there are.")


def job_facts(job: Job) -> dict[str, Any]:
    """A job as `--json` tells it.

    `outputs`, `archived_to` and `failed_to` are paths that a program can open; beside them,
    `…_display` and `source` are for people: anything unprintable in them is escaped.
    """
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
        "created_at": words.iso(job.created_at),
        "started_at": words.iso(job.started_at),
        "finished_at": words.iso(job.finished_at),
        **_path("outputs", job.outputs),
        **_path("archived_to", None if job.place is Place.GONE else job.archived_to),
        **_path("failed_to", job.failed_to),
        "error": _error(job.error),
    }


def _path(key: str, path: str | None) -> dict[str, str | None]:
    return {key: path, f"{key}_display": None if path is None else display(path)}


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
    done = "- pages" if job.pages is None else f"{job.pages_done} of {_count(job.pages)}"
    joined = f"{words.counted(len(job.members), 'file')}, " if job.members else ""
    error = f"  {job.error.kind}: {job.error.message}" if job.error else ""
    at = words.iso(job.finished_at or job.created_at)
    return (
        f"{job.id}  {at}  {job.state}  {job.folder}  {display(job.source)}  {joined}{done}{error}"
    )


def _count(pages: int) -> str:
    return words.counted(pages, "page")


def story(job: Job, pages: list[Page], history: list[Entry]) -> list[str]:
    """What happened to a job, in plain words."""
    lines = [f"job {job.id}: {display(job.source)} in {job.folder}", f"state: {job.state}"]
    if job.members:
        lines.append(f"{words.counted(len(job.members), 'file')}: {_names(job)}")
    if job.pages is not None:
        lines.append(f"pages: {job.pages_done} of {job.pages} finished")
    if job.attempts > 1:
        lines.append(f"attempts: {job.attempts}")
    places = (("results", job.outputs), ("original", _original(job)))
    lines += [f"{name}: {display(path)}" for name, path in places if path]
    if job.error:
        lines += [f"{job.error.kind}: {job.error.message}", f"what to do: {job.error.hint}"]
    lines += [
        f"page {page.number}: {page.state}: {page.error.message} - {page.error.hint}"
        for page in pages
        if page.error
    ]
    lines.append("history:")
    told = (f"  {words.clock(each.at)}  {each.name}  {each.detail}" for each in history)
    return [*lines, *(line.rstrip() for line in told)]


def _original(job: Job) -> str | None:
    """Where the original lies; or, of a done job whose archive it has left, where it lay."""
    if job.place is Place.GONE and job.archived_to:
        return f"no longer in the archive ({job.archived_to})"
    return job.archived_to or job.failed_to


def _names(job: Job) -> str:
    """What a joined document consists of; it has one folder, so the names tell them apart."""
    shown = [display(member.name) for member in job.members[:SHOWN]]
    rest = len(job.members) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def logs(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it happens.")] = False,
) -> None:
    """Show the journal's entries about one job (`ocrd show` tells what the ledger knows)."""
    journalctl = shutil.which("journalctl")
    if journalctl is None:
        raise OcrdError(
            "there is no journalctl on this machine",
            hint=f"`ocrd show {job}` tells the job's story from the ledger.",
        )
    command = [journalctl, "--no-hostname", f"OCRD_JOB={job}"]
    if not follow and not _anything(command):
        raise OcrdError(
            f"the journal tells this user nothing of job {job}",
            hint=f"`ocrd show {job}` tells its story from the ledger. The journal knows what the "
            "daemon did under systemd, and tells it to root and the group systemd-journal.",
        )
    os.execv(journalctl, [*command, "--follow"] if follow else command)  # noqa: S606 - no shell


def _anything(command: list[str]) -> bool:
    """Whether there is an entry that this user may see."""
    ended = subprocess.run(  # noqa: S603 - journalctl, with a number
        [*command, "--quiet", "--lines=1"], capture_output=True, check=False
    )
    return bool(ended.stdout.strip())
