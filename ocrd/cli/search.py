"""`ocrd search`: words in all that was read."""

from __future__ import annotations

from typing import Annotated

import typer

from ocrd.cli import words as telling
from ocrd.cli.app import ConfigOption, JsonOption
from ocrd.errors import ExitCode, UsageError
from ocrd.files import display
from ocrd.views.locate import asked, locate
from ocrd.views.phrases import counted


def search(
    words: Annotated[
        list[str] | None, typer.Argument(help="Pages that hold all of them are shown.")
    ] = None,
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the index anew, from all that was read.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find pages by words, the best first; accents and case do not matter."""
    from ocrd.ledger.search import SearchIndex, index_of
    from ocrd.ledger.search import search as look

    index = index_of(locate(config).ledger)
    if rebuild:
        from ocrd.daemon.indexing import catch_up

        anew = SearchIndex(index)
        anew.clear()
        added = asked(config, lambda ledger: catch_up(ledger, anew, all_of_them=True))
        anew.close()
        typer.echo(f"{counted(added, 'document')} in the index", err=True)
    if not words:
        if rebuild:
            return
        raise UsageError("there is no word to look for", hint="Such as: ocrd search invoice 2026")
    hits = look(index, " ".join(words), limit)
    jobs = asked(config, lambda ledger: {hit.job: ledger.job(hit.job) for hit in hits})
    found = [(hit, job) for hit in hits if (job := jobs[hit.job]) is not None]
    if as_json:
        told = [
            {"job": job.id, "page": hit.page, "folder": job.folder, "source": display(job.source)}
            for hit, job in found
        ]
        telling.print_json({"version": 1, "hits": told})
    else:
        for hit, job in found:
            typer.echo(f"{job.id}  {job.folder}  {display(job.source)}  page {hit.page}")
    if not found:
        raise typer.Exit(ExitCode.FAILED)
