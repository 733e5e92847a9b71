"""`ocrd jobs`, `show`, `search` and `logs`: what happened to files, and which text they have."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrd.cli import words
from ocrd.cli.app import MOST, ConfigOption, FolderOption, JsonOption
from ocrd.errors import ExitCode, OcrdError, UsageError
from ocrd.files import display
from ocrd.job import Job, JobState, Page, Place
from ocrd.views.jobs import hit_facts, job_facts, story_facts
from ocrd.views.locate import asked, locate
from ocrd.views.phrases import clock, counted, iso, when

if TYPE_CHECKING:
    from ocrd.ledger.ledger import Ledger
    from ocrd.ledger.search import Hit
    from ocrd.ledger.transitions import Entry

LISTED = 50  # jobs on a terminal, unless --limit is given
SHOWN = 20  # files of a joined document that are named
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
JobArgument = Annotated[
    int, typer.Argument(min=1, max=MOST, help="The job's number, as `ocrd jobs` shows it.")
]


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
            "--limit", "-n", min=1, max=MOST, help="At most so many; else 50 on a terminal, or all."
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
        shown = f"{len(found):,} of {counted(total, 'job')}"
        typer.echo(f"{shown}; --limit {total} shows all", err=not table)


def known_folders(config: Path | None) -> list[str]:
    """The configured folders, those of the running daemon, and those known only to the ledger."""
    from ocrd.ledger.readonly import glance

    found = locate(config)
    counted = [each.folder for each in glance(found.ledger).folders]
    told = [each["name"] for each in found.word.get("folders", ())]
    return [*dict.fromkeys([*found.folders, *told, *counted])]


def require_folder(name: str, known: Collection[str]) -> None:
    """Refuse a folder that does not exist.

    Raises:
        UsageError: The name is not one of those known.
    """
    if name not in known:
        raise UsageError(
            f"there is no folder {name!r}",
            hint=f"Folders: {', '.join(known) or 'none is configured'}.",
        )


def moment(text: str, now: float | None = None) -> float:
    """The moment that the text of `--since` means, in seconds since the epoch.

    Raises:
        UsageError: The text is not a moment.
    """
    here = datetime.fromtimestamp(time.time() if now is None else now).astimezone()
    ago = re.fullmatch(r"(\d+)\s*([mhdw])", text)
    try:
        if ago:
            return (here - timedelta(**{UNITS[ago[2]]: int(ago[1])})).timestamp()
        if text == "today":
            return here.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):  # not a moment, or one out of range
        raise UsageError(
            f"--since {text}: no moment", hint="Say 30m, 2h, 3d, 1w, today, or 2026-11-29T08:00."
        ) from None


def _table(found: list[Job]) -> list[str]:
    now, heads = time.time(), ["job", "when", "state", "folder", "file", "pages", "error"]
    rows = [
        [
            str(job.id),
            when(job.finished_at or job.created_at, now),
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
        words.print_json({"version": 1, **story_facts(job, pages, history)})
    else:
        print("\n".join(story(job, pages, history)))


def no_such_job(number: int) -> UsageError:
    """The error for a job number that the ledger does not have."""
    return UsageError(f"there is no job {number}", hint="`ocrd jobs` lists the jobs there are.")


def _line(job: Job) -> str:
    done = "- pages" if job.pages is None else f"{job.pages_done} of {counted(job.pages, 'page')}"
    joined = f"{counted(len(job.members), 'file')}, " if job.members else ""
    error = f"  {job.error.kind}: {job.error.message}" if job.error else ""
    at = iso(job.finished_at or job.created_at)
    return (
        f"{job.id}  {at}  {job.state}  {job.folder}  {display(job.source)}  {joined}{done}{error}"
    )


def story(job: Job, pages: list[Page], history: list[Entry]) -> list[str]:
    """The lines that tell what happened to a job, in plain words."""
    lines = [f"job {job.id}: {display(job.source)} in {job.folder}", f"state: {job.state}"]
    if job.members:
        lines.append(f"{counted(len(job.members), 'file')}: {_names(job)}")
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
    told = (f"  {clock(each.at)}  {each.name}  {each.detail}" for each in history)
    return [*lines, *(line.rstrip() for line in told)]


def _original(job: Job) -> str | None:
    """Where the original is; or, if it has been removed from the archive, where it was."""
    if job.place is Place.GONE and job.archived_to:
        return f"no longer in the archive ({job.archived_to})"
    return job.archived_to or job.failed_to


def _names(job: Job) -> str:
    """The files of a joined document; all are in one folder, so their names are enough."""
    shown = [display(member.name) for member in job.members[:SHOWN]]
    rest = len(job.members) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def search(
    sought: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD...", help="Pages that hold all of them are shown."),
    ] = None,
    config: ConfigOption = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=MOST, help="At most so many.")
    ] = 20,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the index anew, from all that was read.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find pages by words, the best first; accents and case do not matter."""
    from ocrd.ledger.search import RANKED, emptied, index_of
    from ocrd.ledger.search import search as look

    index = index_of(locate(config).ledger)
    if rebuild:
        from ocrd.daemon.indexing import catch_up

        anew = emptied(index)
        added = asked(config, lambda ledger: catch_up(ledger, anew))
        anew.close()
        typer.echo(f"{counted(added, 'document')} in the index", err=True)
    if not sought:
        if rebuild:
            return
        raise UsageError("there is no word to look for", hint="Such as: ocrd search invoice 2026")
    hits = look(index, " ".join(sought), RANKED)

    def kept(ledger: Ledger) -> list[tuple[Hit, Job]]:
        known = ((hit, ledger.job(hit.job)) for hit in hits)
        return list(islice(((hit, job) for hit, job in known if job is not None), limit))

    found = asked(config, kept)
    if as_json:
        words.print_json({"version": 1, "hits": [hit_facts(*each) for each in found]})
    else:
        for hit, job in found:
            typer.echo(f"{job.id}  {job.folder}  {display(job.source)}  page {hit.page}")
    if not found:
        if not as_json:
            typer.echo("no page holds all of these words", err=True)
        raise typer.Exit(ExitCode.FAILED)


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
    if not follow:
        last = [*command, "--quiet", "--lines=1"]
        seen = subprocess.run(last, capture_output=True, check=False)  # noqa: S603 - with a number
        if not seen.stdout.strip():
            raise OcrdError(
                f"the journal tells this user nothing of job {job}",
                hint=f"`ocrd show {job}` tells its story from the ledger. The journal knows what "
                "the daemon did under systemd, and tells it to root and the group systemd-journal.",
            )
    os.execv(journalctl, [*command, "--follow"] if follow else command)  # noqa: S606 - no shell
