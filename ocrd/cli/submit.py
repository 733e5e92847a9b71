"""`ocrd submit` and `ocrd estimate`: hand files over, or say how long they would take."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrd.cli import words
from ocrd.cli.app import ConfigOption, JsonOption, folder_names
from ocrd.cli.jobs import require_folder
from ocrd.errors import BadFileError, ExitCode, LedgerError, PlaceError, UsageError
from ocrd.files import display
from ocrd.job import ACTIVE, JobState
from ocrd.names import ignored
from ocrd.views.locate import locate
from ocrd.views.phrases import about, counted

if TYPE_CHECKING:
    from ocrd.config import Config, Folder
    from ocrd.inbox.submit import Owner
    from ocrd.job import Job

TYPICAL_S = {
    "rapidocr": 3.0,
    "tesseract": 3.0,
    "vllm": 0.1,
    "server": 0.1,
}  # seconds per page, until the ledger has figures
RECORDING_S = 2.0  # from the end of settling until a daemon has recorded a file
LOOK_S = 0.1
WaitOption = Annotated[
    bool, typer.Option("--wait", "-w", help="Wait for the results and say where they lie.")
]


@dataclass(frozen=True)
class Placed:
    """A file that was copied into an inbox, and the job that the daemon made of it."""

    folder: str
    source: str
    path: Path
    job: Job | None = None


def submit(
    files: Annotated[list[Path], typer.Argument(help="Files, or folders of files, to have read.")],
    folder: Annotated[
        str | None,
        typer.Option(
            "--folder",
            "-f",
            help="Into whose inbox; else the first folder of the configuration.",
            autocompletion=folder_names,
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    wait: WaitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy files into an inbox: they appear there whole or not at all."""
    from ocrd.config import load
    from ocrd.inbox.submit import daemon_user, require_taken, require_whole

    loaded = load(config)
    into = _folder(loaded, folder)
    chosen = [*_chosen(files)]
    for file, _ in chosen:
        require_taken(file.name, into)
        require_whole(file)
    began = time.time()
    owner = daemon_user(loaded.spool)
    placed = [_place(file, below, into, owner) for file, below in chosen]
    found = locate(config)
    if found.pid is not None:
        until = time.monotonic() + into.settle_s + RECORDING_S
        placed = _recorded(loaded, placed, began, until)
        if wait:
            placed = _ended(loaded, placed)
    _tell(placed, running=found.pid is not None, as_json=as_json)
    if any(each.job and each.job.state in (JobState.FAILED, JobState.CANCELLED) for each in placed):
        raise typer.Exit(ExitCode.SOME_FAILED)
    if wait and found.pid is None:
        raise typer.Exit(ExitCode.NOT_RUNNING)


def _folder(loaded: Config, name: str | None) -> Folder:
    if name is None and loaded.folders:
        return loaded.folders[0]
    require_folder(name or "", [each.name for each in loaded.folders])
    return next(each for each in loaded.folders if each.name == name)


def _chosen(paths: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Each file, and the folder for its copy, relative to the inbox."""
    for path in paths:
        if path.is_dir():
            top = path.resolve()
            yield from (
                (file, Path(top.name) / file.relative_to(top).parent) for file in _files(top)
            )
        else:
            yield path, Path()


def _files(path: Path) -> Iterator[Path]:
    """The files below a path that the daemon would not ignore; or the path itself, if a file."""
    if path.is_file():
        yield path
        return
    for each in sorted(path.rglob("*")):
        below = each.relative_to(path)
        if each.is_file() and not each.is_symlink() and not any(map(ignored, below.parts)):
            yield each


def _place(file: Path, below: Path, into: Folder, owner: Owner | None) -> Placed:
    from ocrd.inbox import submit as handing_over

    marker = handing_over.marker_of(into, file.name)
    path = handing_over.submit(file, into.inbox, below=below, done_marker=marker, owner=owner)
    return Placed(folder=into.name, source=str(path.relative_to(into.inbox)), path=path)


def _recorded(loaded: Config, placed: list[Placed], began: float, until: float) -> list[Placed]:
    """The files with the jobs that the daemon records for them until `until` (monotonic clock)."""
    known: dict[tuple[str, str], Job] = {}
    while len(known) < len(placed) and time.monotonic() < until:
        for job in _jobs(loaded, lambda ledger: ledger.jobs(since=began - 1, limit=100_000)):
            sources = [job.source, *(member.source for member in job.members)]
            wanted = {(each.folder, each.source) for each in placed}
            known |= {key: job for key in ((job.folder, s) for s in sources) if key in wanted}
        time.sleep(LOOK_S)
    return [replace(each, job=known.get((each.folder, each.source))) for each in placed]


def _ended(loaded: Config, placed: list[Placed]) -> list[Placed]:
    """Wait until all jobs have ended; the files with their jobs as they are then."""
    numbers = [each.job.id for each in placed if each.job]
    while any(each.job and each.job.state in ACTIVE for each in placed):
        jobs = _jobs(loaded, lambda ledger: [ledger.job(number) for number in numbers])
        known = {job.id: job for job in jobs if job}
        placed = [
            replace(each, job=known.get(each.job.id)) if each.job else each for each in placed
        ]
        time.sleep(LOOK_S)
    return placed


def _jobs(loaded: Config, question: Callable[[Any], list[Any]]) -> list[Any]:
    from ocrd.ledger.readonly import read_ledger

    return read_ledger(loaded.ledger, question)


def _tell(placed: list[Placed], *, running: bool, as_json: bool) -> None:
    if as_json:
        words.print_json({"version": 1, "files": [_facts(each) for each in placed]})
        return
    for each in placed:
        path = display(str(each.path))
        if each.job is None:
            print(path)
        elif each.job.state in ACTIVE:
            print(f"job {each.job.id}: {path}")
        elif each.job.error:
            error = each.job.error
            print(f"job {each.job.id}: {each.job.state}: {error.message} - {error.hint}")
        else:
            print(f"job {each.job.id}: {each.job.state}: {display(each.job.outputs or '')}")
    if not running:
        typer.echo("no daemon runs; they wait for `ocrd run`", err=True)


def _facts(placed: Placed) -> dict[str, Any]:
    job = placed.job
    return {
        "folder": placed.folder,
        "path": str(placed.path),
        "path_display": display(str(placed.path)),
        "job": job.id if job else None,
        "state": job.state.value if job else None,
        "outputs": job.outputs if job else None,
    }


def estimate(
    path: Annotated[Path, typer.Argument(help="A file or a folder of files.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count the pages of files before they are dropped, and say how long they will take."""
    from ocrd.config import load

    loaded = load(config)
    files = list(_files(path))
    if not files:
        raise UsageError(f"{display(str(path))}: no files there", hint="Name a file or a folder.")
    pages, unreadable = asyncio.run(_count(loaded, files))
    seconds = pages * _page_s(loaded)
    if as_json:
        refused = [{"path": str(file), "reason": why} for file, why in unreadable]
        facts = {"files": len(files), "pages": pages, "seconds": round(seconds), "refused": refused}
        words.print_json({"version": 1, **facts})
        return
    for file, why in unreadable:
        typer.echo(f"{display(str(file))}: {why}", err=True)
    typer.echo(
        f"{counted(len(files) - len(unreadable), 'file')}, {counted(pages, 'page')}, "
        f"{about(seconds)}"
    )
    if unreadable:
        typer.echo(f"{counted(len(unreadable), 'file')} would go to failed/")


async def _count(config: Config, files: list[Path]) -> tuple[int, list[tuple[Path, str]]]:
    from rich.console import Console
    from rich.progress import track

    from ocrd.daemon.engines import build_engine
    from ocrd.daemon.wiring import page_source

    engine = build_engine(config)
    source, children = page_source(config, engine)
    pages, unreadable = 0, []
    console = Console(stderr=True)
    try:
        for file in track(files, "counting", console=console, disable=not console.is_terminal):
            try:
                pages += (await source.inspect(file)).pages
            except BadFileError as error:
                unreadable.append((file, error.message))
    finally:
        children.stop()
    return pages, unreadable


def _page_s(config: Config) -> float:
    """Wall time per page in seconds: measured over the latest done jobs, or a typical value."""
    from ocrd.daemon.engines import chosen_kind

    done: list[Job] = []
    with contextlib.suppress(LedgerError, PlaceError):  # there is none yet, or we may not read it
        done = _jobs(config, lambda known: known.jobs(state=JobState.DONE, limit=200))
    pages, seconds = sum(job.pages or 0 for job in done), _busy_s(done)
    if pages >= 20 and seconds > 0:
        return seconds / pages
    return TYPICAL_S[chosen_kind(config.settings)]


def _busy_s(done: list[Job]) -> float:
    """Seconds during which at least one of the jobs was under way; idle time does not count."""
    total = until = 0.0
    for began, ended in sorted((job.started_at or 0.0, job.finished_at or 0.0) for job in done):
        total += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return total
