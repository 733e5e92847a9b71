"""What `ocrd status` sees: quickly, always, and without leave to write."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocrd.errors import LedgerError, OcrdError, PlaceError
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.readonly import FolderGlance, Glance, glance, read_ledger
from tests.support.needs import need
from tests.support.nobody import as_nobody
from tests.unit.ledger.making import (
    Clock,
    Say,
    claimed,
    delivering,
    done,
    failed,
    forked,
    many,
    python,
    queued,
)
from tests.unit.ledger.test_open import before

Look = Callable[[Path], int]


@pytest.fixture
def public() -> Iterator[Path]:
    """A ledger's path in a folder that everyone may read and only root may write."""
    need("root")
    folder = Path(tempfile.mkdtemp(prefix="ocrd-"))
    folder.chmod(0o755)
    yield folder / "ledger.db"
    shutil.rmtree(folder)


class TestTheNumbers:
    def test_are_those_of_each_folder(self, ledger: Ledger, path: Path, clock: Clock) -> None:
        done(ledger, "1.pdf", "letters")
        failed(ledger, "2.pdf", "letters")
        ledger.gone(queued(ledger, "3.pdf", "letters"))
        delivering(ledger, "4.pdf", "letters")
        claimed(ledger, "5.pdf", "letters")
        oldest = queued(ledger, "6.pdf", "letters").created_at
        clock.now += 60
        queued(ledger, "7.pdf", "letters")
        assert glance(path) == Glance(
            (
                FolderGlance(
                    folder="letters",
                    waiting=2,
                    running=2,
                    done=1,
                    failed=1,
                    cancelled=1,
                    oldest_waiting=oldest,
                ),
            )
        )

    def test_come_by_folder_in_order(self, ledger: Ledger, path: Path) -> None:
        for folder in ("b", "a", "c"):
            queued(ledger, "x.pdf", folder)
        assert [each.folder for each in glance(path).folders] == ["a", "b", "c"]

    def test_the_last_files_are_not_those_of_a_clock_that_was_put_back(
        self, ledger: Ledger, path: Path, clock: Clock
    ) -> None:
        clock.now = time.time() + 365 * 86400
        done(ledger, "a year ahead.pdf")
        failed(ledger, "a year ahead too.pdf")
        clock.now = time.time() - 60
        done(ledger, "put right.pdf")
        last = [each.source for each in glance(path, ended=1).ended]
        assert last == ["put right.pdf", "a year ahead too.pdf"]

    def test_are_none_where_there_is_no_ledger_yet(self, path: Path) -> None:
        assert glance(path) == Glance()
        assert not path.exists()

    def test_are_none_while_the_ledger_is_being_made(self, path: Path) -> None:
        path.touch()
        assert glance(path) == Glance()

    def test_are_found_under_a_name_that_is_no_text(self, tmp_path: Path, clock: Clock) -> None:
        path = tmp_path / "50%20 \udcff?#.db"
        with Ledger.open(path, clock=clock) as ledger:
            queued(ledger)
        assert seen_at_a_glance(path) == 1


def queue_and_die(_say: Say, path: Path) -> None:
    queued(Ledger.open(path))
    os.kill(os.getpid(), signal.SIGKILL)


def seen_at_a_glance(path: Path) -> int:
    return sum(folder.waiting for folder in glance(path).folders)


def listed(path: Path) -> int:
    return len(read_ledger(path, lambda ledger: ledger.jobs()))


@pytest.mark.parametrize("look", [seen_at_a_glance, listed])
class TestWhoeverLooks:
    """Another user, who may read the ledger and no more."""

    def test_sees_what_the_daemon_has_just_written(self, public: Path, look: Look) -> None:
        with Ledger.open(public) as ledger:
            for number in range(1, 3):
                queued(ledger, f"{number}.pdf")
                assert as_nobody(lambda: look(public)) == number

    def test_sees_it_after_the_daemon_stopped_and_leaves_nothing_behind(
        self, public: Path, look: Look
    ) -> None:
        with Ledger.open(public) as ledger:
            queued(ledger)
        before = public.read_bytes()
        assert look(public) == as_nobody(lambda: look(public)) == 1
        assert [entry.name for entry in public.parent.iterdir()] == ["ledger.db"]
        assert public.read_bytes() == before

    def test_sees_it_after_the_daemon_was_killed(self, public: Path, look: Look) -> None:
        process, said = forked(queue_and_die, public)
        assert said.read() == ""
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert public.with_name("ledger.db-wal").exists()
        assert as_nobody(lambda: look(public)) == 1

    @pytest.mark.parametrize("closed", ["ledger.db", "."])
    def test_is_told_when_it_must_not_be_read(self, public: Path, look: Look, closed: str) -> None:
        Ledger.open(public).close()
        (public.parent / closed).chmod(0o600)
        seen = as_nobody(lambda: look(public))
        assert isinstance(seen, PlaceError)
        assert seen.kind == "no-permission" and seen.hint


class TestAQuestion:
    def test_that_would_change_something_is_refused(self, path: Path) -> None:
        Ledger.open(path).close()
        with pytest.raises(OcrdError):
            read_ledger(path, lambda ledger: queued(ledger))

    def test_where_there_is_no_ledger_is_told_so(self, path: Path) -> None:
        with pytest.raises(LedgerError) as raised:
            listed(path)
        assert raised.value.kind == "ledger-missing"

    def test_of_one_of_an_older_version_has_it_upgraded_by_who_may(
        self, path: Path, tmp_path: Path
    ) -> None:
        Ledger.open(path, migrations=before(tmp_path, 1)).close()
        assert listed(path) == 0
        with Ledger.open(path) as ledger:
            assert ledger.verify() == []


class TestItIsQuick:
    def test_it_needs_neither_sqlalchemy_nor_alembic(self) -> None:
        code = "import sys, ocrd.ledger.readonly; print(*sys.modules)"
        loaded = {name.split(".")[0] for name in python(code).split()}
        assert loaded & {"sqlalchemy", "alembic", "asyncio", "typing_extensions"} == set()

    def test_its_cost_does_not_grow_with_the_jobs(self, tmp_path: Path) -> None:
        cost = {}
        for count in (20, 5_000):
            path = tmp_path / f"{count}.db"
            Ledger.open(path).close()
            many(path, count)
            many(path, count, "queued", "inbox")
            cost[count] = pages_read(path)
        assert 0 < cost[5_000] <= cost[20] + 40  # a level deeper, for each of twenty folders


def pages_read(path: Path) -> int:
    """How many bytes a glance reads, in pages of 4 KiB: the kernel counts for each thread."""
    before = _read_so_far()
    glance(path)
    return (_read_so_far() - before) // 4096


def _read_so_far() -> int:
    lines = Path("/proc/thread-self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])
