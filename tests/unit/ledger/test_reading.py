"""`ocrd jobs` and `ocrd show` for people who may read the ledger and not write it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ocrd.errors import LedgerError, OcrdError, PlaceError
from ocrd.job import Job
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.migrate import Migrations
from ocrd.ledger.readonly import read_ledger
from tests.support.nobody import as_nobody
from tests.unit.ledger.making import done, python, queued
from tests.unit.ledger.test_glance import public
from tests.unit.ledger.test_open import first

__all__ = ["first", "public"]


def jobs_of(path: Path) -> list[Job]:
    """What the ledger tells those who may only read it."""
    return read_ledger(path, lambda ledger: ledger.jobs())


def test_after_the_daemon_stopped_the_jobs_can_be_read(public: Path) -> None:
    with Ledger.open(public) as ledger:
        job = done(ledger)
    before = sorted(public.parent.iterdir())
    assert before == [public]  # no WAL: nobody has it open
    assert as_nobody(lambda: jobs_of(public)) == [job]
    assert sorted(public.parent.iterdir()) == before


def test_while_it_runs_what_it_has_just_written_is_seen(public: Path) -> None:
    with Ledger.open(public) as ledger:
        first = done(ledger, "a.pdf")
        assert as_nobody(lambda: jobs_of(public)) == [first]
        second = queued(ledger, "b.pdf")
        assert as_nobody(lambda: jobs_of(public)) == [second, first]


def test_after_it_was_killed_too(public: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from ocrd.ledger.ledger import Ledger
from tests.unit.ledger.making import done
ledger = Ledger.open(Path(sys.argv[1]))
done(ledger)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert python(code, public).wait(300) == -signal.SIGKILL
    assert public.with_name("ledger.db-wal").exists()
    seen = as_nobody(lambda: jobs_of(public))
    assert isinstance(seen, list) and [job.source for job in seen] == ["scan.pdf"]


def test_one_that_must_not_be_read_is_told_so(public: Path) -> None:
    Ledger.open(public).close()
    public.chmod(0o600)
    seen = as_nobody(lambda: jobs_of(public))
    assert isinstance(seen, PlaceError)
    assert seen.kind == "no-permission" and seen.hint


def test_a_question_that_would_change_something_is_refused(public: Path) -> None:
    Ledger.open(public).close()
    with pytest.raises(OcrdError):
        read_ledger(public, lambda ledger: queued(ledger))


def test_where_there_is_none_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerError) as raised:
        read_ledger(tmp_path / "ledger.db", lambda ledger: ledger.jobs())
    assert raised.value.kind == "ledger-missing"


def test_one_of_an_older_version_is_upgraded_by_who_may(path: Path, first: Migrations) -> None:
    Ledger.open(path, migrations=first).close()
    assert read_ledger(path, lambda ledger: ledger.jobs()) == []
    with Ledger.open(path) as ledger:
        assert ledger.verify() == []
