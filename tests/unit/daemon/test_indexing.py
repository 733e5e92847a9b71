"""A job has its number for itself, also when an older ledger or none is put in its place."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from ocrd.config import Config, load
from ocrd.daemon import indexing
from ocrd.daemon.indexing import BATCH, Indexing, catch_up
from ocrd.daemon.wiring import open_places
from ocrd.errors import LedgerError
from ocrd.events import Events
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.search import SearchIndex, index_of, search
from ocrd.web.changes import Changes
from ocrd.web.desk import Desk
from ocrd.web.expiry import DAY_S, expire_all
from ocrd.web.store import Role, Store, Token, store_path
from ocrd.worker.calls import Calls
from ocrd.worker.pages import Parts
from tests.support.commands import ocrd
from tests.support.waiting import wait_for
from tests.unit.ledger.making import done, found, many, queued

BEFORE = pytest.mark.parametrize("backup", [True, False], ids=["an older one", "none"])
PATH = "state/ledger.db"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "state").mkdir()
    (tmp_path / "inbox/invoices").mkdir(parents=True)
    file = tmp_path / "config.toml"
    file.write_text(
        f'root = "{tmp_path}"\nledger.path = "{tmp_path / PATH}"\nweb.keep_days = 30\n'
        'engine.kind = "rapidocr"\n[[folder]]\nname = "invoices"\n'
    )
    return load(file)


@contextmanager
def _started(config: Config) -> Iterator[Ledger]:
    """The ledger as the daemon has it."""
    ledger, _, places = open_places(config, Events())
    with places:
        yield ledger


def _caught_up(config: Config, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """A start: the ledger's done jobs, whose files have these texts, go into the index."""
    index = SearchIndex(index_of(config.ledger))
    with _started(config) as ledger:
        sources = {job.id: job.source for job in ledger.jobs()}

        def read(number: int) -> list[str]:
            return [texts[sources[number]]]

        monkeypatch.setattr(ledger, "page_texts", read)
        catch_up(ledger, index)
    index.close()


def _put_back(config: Config, backup: bool) -> None:
    """As docs/backup.md and docs/reliability.md say: what lies beside the ledger stays."""
    for each in config.ledger.parent.glob("ledger.db*"):
        each.unlink()
    if backup:
        config.root.joinpath("copy.db").rename(config.ledger)


def _found(config: Config, word: str) -> list[int]:
    told = ocrd("search", "--config", str(config.file), "--json", "--limit", "1", word).stdout
    return [hit["job"] for hit in json.loads(told)["hits"]]


@BEFORE
def test_a_job_after_a_restore_is_found_by_its_own_words_alone(
    config: Config, monkeypatch: pytest.MonkeyPatch, backup: bool
) -> None:
    with _started(config) as ledger:
        if backup:
            done(ledger, "first")
            ledger.backup(config.root / "copy.db")
        done(ledger, "letter")
        done(ledger, "bill")
    texts = {"first": "first paper", "letter": "letter paper paper", "bill": "bill paper paper"}
    _caught_up(config, monkeypatch, **texts)
    _put_back(config, backup)
    with _started(config) as ledger:
        ours = done(ledger, "will").id
    _caught_up(config, monkeypatch, **texts, will="a will on paper")
    assert _found(config, "will") == [ours]
    assert _found(config, "letter") == _found(config, "bill") == []
    assert _found(config, "first") == ([1] if backup else [])
    assert len(_found(config, "paper")) == 1  # what is not known any more takes nobody's place


def test_a_first_filling_that_is_cut_off_is_taken_up_to_its_end(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It adds the newest first, so that what it lacks is old."""
    with _started(config):
        pass
    many(config.ledger, 3 * BATCH)
    told: list[int] = []

    def read(number: int) -> list[str]:
        told.append(number)
        if len(told) == 2 * BATCH:
            raise KeyboardInterrupt
        return ["a page"]

    known = []
    for _ in range(2):
        index = SearchIndex(index_of(config.ledger))
        with _started(config) as ledger, suppress(KeyboardInterrupt):
            monkeypatch.setattr(ledger, "page_texts", read)
            catch_up(ledger, index)
        known.append(len(index.knows(range(1, 3 * BATCH + 1))))
        index.close()
    assert known == [2 * BATCH - 1, 3 * BATCH]
    assert len(told) == 3 * BATCH + 1  # and none was read again


@pytest.fixture
def damaged(config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index of a ledger with one job, of which every page but the first holds other bytes."""
    with _started(config) as ledger:
        done(ledger, "letter")
    _caught_up(config, monkeypatch, letter="letter")
    index = index_of(config.ledger)
    index.write_bytes(index.read_bytes()[:4096] + b"\xa5" * (index.stat().st_size - 4096))
    return index


def test_a_damaged_index_is_no_damaged_ledger_and_its_remedy_works(
    config: Config, damaged: Path
) -> None:
    command = ("search", "--config", str(config.file))
    said = ocrd(*command, "letter").stderr
    assert f"{damaged}: the search index is damaged" in said
    assert "ocrd search --rebuild" in said and "ledger.db" not in said
    assert ocrd(*command, "--rebuild").returncode == 0
    assert "no page holds" in ocrd(*command, "letter").stderr  # this ledger keeps no pages' texts


async def test_the_daemon_makes_a_damaged_index_anew(
    config: Config, damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "AGAIN_S", 0.0)
    with _started(config) as ledger:
        monkeypatch.setattr(ledger, "page_texts", lambda _: ["letter"])
        parts = SimpleNamespace(ledger=ledger, events=Events(), call=Calls())
        running = asyncio.create_task(Indexing(cast(Parts, parts)).run())
        found = partial(search, damaged, "letter", 1)
        await asyncio.to_thread(wait_for, found, despite=(LedgerError,))
        running.cancel()
        await asyncio.wait({running})


def test_a_start_makes_no_file_of_the_web_process(config: Config) -> None:
    """It would be the daemon's, of any mode, before the web process makes it for itself alone."""
    for _ in range(2):
        with _started(config):
            pass
    assert not store_path(config.ledger).exists() and not index_of(config.ledger).exists()


def test_an_index_of_jobs_that_were_pruned_is_no_others(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _started(config) as ledger:
        done(ledger, "letter")
    _caught_up(config, monkeypatch, letter="letter")
    with _started(config) as ledger:
        assert ledger.prune(time.time() + 1.0)
    _caught_up(config, monkeypatch)
    assert [hit.job for hit in search(index_of(config.ledger), "letter", 9)] == [1]
    with _started(config) as ledger:
        assert queued(ledger).id == 2


@BEFORE
async def test_a_job_after_a_restore_is_nobodys_who_brought_an_earlier_one(
    config: Config, backup: bool
) -> None:
    """They do not see it, and its original does not go when theirs is to."""
    store, ada = Store(store_path(config.ledger)), Token(name="ada", role=Role.SUBMIT)
    desk = Desk(config, store, Changes(config.ledger, config.spool))
    with _started(config) as ledger:
        ledger.backup(config.root / "copy.db")
        for source in ("lost", "kept"):
            (handed,) = store.hand("invoices", [(source, found(source).looks(), None)], ada)
            done(ledger, source)
            desk.became(handed, ledger)
    assert len((await desk.jobs(ada, limit=9))[0]) == 2
    _put_back(config, backup)
    archive = config.root / "archive/invoices/theirs"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"a stranger's")
    with _started(config) as ledger:
        queued(ledger, "theirs", size=12, sha256=hashlib.sha256(b"a stranger's").hexdigest())
        theirs = ledger.moved(ledger.claim_some(1, now=0)[0])
        ledger.done(ledger.deliver(theirs, outputs="/outbox/theirs", archived_to=str(archive)))
        again = queued(ledger, "kept")  # its original lay in the spool and went back
    assert [job.id for job in (await desk.jobs(ada, limit=9))[0]] == []
    known = await desk.find("t2", ada)
    assert known == again  # its ticket leads to what became of it
    assert [job.id for job in (await desk.jobs(ada, limit=9))[0]] == [again.id]
    expire_all(desk, time.time() + 60 * DAY_S)
    assert archive.exists()
