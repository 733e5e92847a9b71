"""`ocrd estimate PATH`: how many pages a pile has, and how long they will take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.options import ConfigOption
from ocrd.errors import BadFileError, LedgerError, PlaceError, UsageError
from ocrd.files import display
from ocrd.inbox.names import ignored

if TYPE_CHECKING:
    from ocrd.config import Config
    from ocrd.job import Job

TYPICAL_S = {"rapidocr": 3.0, "vllm": 0.1}  # a page, where the ledger knows none yet


def estimate(
    path: Annotated[Path, typer.Argument(help="A file or a folder of files.")],
    config: ConfigOption = None,
) -> None:
    """Count the pages of files before they are dropped, and say how long they will take."""
    from ocrd.config import load

    loaded = load(config)
    files = list(_files(path))
    if not files:
        raise UsageError(f"{display(str(path))}: no files there", hint="Name a file or a folder.")
    pages, unreadable = asyncio.run(_count(loaded, files))
    for file, why in unreadable:
        typer.echo(f"{display(str(file))}: {why}", err=True)
    seconds = pages * _page_s(loaded)
    minutes, rest = divmod(round(seconds), 60)
    typer.echo(
        f"{_count_of(len(files) - len(unreadable), 'file')}, {_count_of(pages, 'page')}, "
        f"about {minutes}:{rest:02d} min"
    )
    if unreadable:
        typer.echo(f"{_count_of(len(unreadable), 'file')} would go to failed/")


def _count_of(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for each in sorted(path.rglob("*")):
        below = each.relative_to(path)
        if each.is_file() and not each.is_symlink() and not any(map(ignored, below.parts)):
            yield each


async def _count(config: Config, files: list[Path]) -> tuple[int, list[tuple[Path, str]]]:
    from ocrd.daemon.engines import build_engine
    from ocrd.daemon.parts import page_source

    engine = build_engine(config)
    source, children = page_source(config, engine, readable=[file.parent for file in files])
    pages, unreadable = 0, []
    try:
        for file in files:
            try:
                pages += (await source.inspect(file)).pages
            except BadFileError as error:
                unreadable.append((file, error.message))
    finally:
        children.stop()
    return pages, unreadable


def _page_s(config: Config) -> float:
    """Seconds of wall time a page takes: measured over the last done jobs, or typical."""
    from ocrd.daemon.engines import chosen_kind
    from ocrd.job import JobState
    from ocrd.ledger.readonly import read_ledger

    done: list[Job] = []
    with contextlib.suppress(LedgerError, PlaceError):  # none yet, or not ours to read
        done = read_ledger(config.ledger, lambda known: known.jobs(state=JobState.DONE, limit=200))
    pages, seconds = sum(job.pages or 0 for job in done), _busy_s(done)
    if pages >= 20 and seconds > 0:
        return seconds / pages
    return TYPICAL_S[chosen_kind(config.settings)]


def _busy_s(done: list[Job]) -> float:
    """Seconds during which any of the jobs was under way; idle nights do not count."""
    total = until = 0.0
    for began, ended in sorted((job.started_at or 0.0, job.finished_at or 0.0) for job in done):
        total += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return total
