"""The search index follows the ledger, also when an older one or none is put in its place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ocrd.daemon.indexing import catch_up
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.search import SearchIndex, index_of, search
from tests.unit.ledger.making import done, opened


def _caught_up(path: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """A start: the ledger's done jobs, whose files have these texts, go into the index."""
    index = SearchIndex(index_of(path))
    with opened(path) as ledger:
        sources = {job.id: job.source for job in ledger.jobs()}

        def read(number: int) -> list[str]:
            return [texts[sources[number]]]

        monkeypatch.setattr(ledger, "page_texts", read)
        catch_up(ledger, index)
    index.close()


def _found(path: Path, word: str) -> list[int]:
    return sorted(hit.job for hit in search(index_of(path), word, 9))


@pytest.mark.parametrize("backup", [True, False], ids=["an older one", "none"])
def test_a_job_of_a_reused_number_is_found_by_its_own_words_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backup: bool
) -> None:
    """As docs/backup.md and docs/reliability.md put a ledger back: the index stays where it is."""
    path = tmp_path / "ledger.db"
    with opened(path) as ledger:
        if backup:
            done(ledger, "first")
            ledger.backup(tmp_path / "copy.db")
        done(ledger, "letter")
        done(ledger, "bill")
    _caught_up(path, monkeypatch, first="first", letter="letter", bill="bill")
    for each in tmp_path.glob("ledger.db*"):
        each.unlink()
    if backup:
        (tmp_path / "copy.db").rename(path)
    with opened(path) as ledger:
        ours = done(ledger, "will").id
    _caught_up(path, monkeypatch, first="first", will="will")
    assert _found(path, "will") == [ours]
    assert _found(path, "letter") == _found(path, "bill") == []
    assert _found(path, "first") == ([1] if backup else [])


def test_an_index_of_jobs_that_were_pruned_is_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    with opened(path) as ledger:
        done(ledger, "letter")
    _caught_up(path, monkeypatch, letter="letter")
    with Ledger.open(path) as ledger:
        assert ledger.prune(time.time() + 1.0)
    _caught_up(path, monkeypatch)
    assert _found(path, "letter") == [1]
