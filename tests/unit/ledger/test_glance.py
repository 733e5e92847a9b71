"""What `ocrd status` sees: quickly, always, and without leave to write."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ocrd.errors import LedgerError, PlaceError
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.readonly import FolderGlance, Glance, glance
from tests.support.needs import need
from tests.support.nobody import as_nobody
from tests.unit.ledger.making import (
    Clock,
    answer,
    claimed,
    delivering,
    done,
    failed,
    many,
    python,
    queued,
)

ONE_WAITS = Glance(
    (
        FolderGlance(
            folder="invoices",
            waiting=1,
            running=0,
            done=0,
            failed=0,
            cancelled=0,
            oldest_waiting=1_000_000.0,
        ),
    )
)

HOLD_OPEN = """
import sys
from pathlib import Path
from ocrd.ledger.ledger import Ledger
ledger = Ledger.open(Path(sys.argv[1]))
print(len(ledger.jobs()), flush=True)
input()
"""


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
        assert glance(path) == ONE_WAITS


class TestWhoeverLooks:
    """Another user, who may read the ledger and no more."""

    def test_sees_it_while_the_daemon_runs(self, public: Path, clock: Clock) -> None:
        with Ledger.open(public, clock=clock) as ledger:
            queued(ledger)
            assert as_nobody(lambda: glance(public)) == ONE_WAITS

    def test_sees_it_after_the_daemon_stopped(self, public: Path, clock: Clock) -> None:
        with Ledger.open(public, clock=clock) as ledger:
            queued(ledger)
        assert as_nobody(lambda: glance(public)) == ONE_WAITS

    def test_sees_it_after_the_daemon_was_killed(self, public: Path, clock: Clock) -> None:
        with Ledger.open(public, clock=clock) as ledger:
            queued(ledger)
            holder = python(HOLD_OPEN, public, stdin=-1)
            assert holder.stdout is not None and holder.stdout.readline() == "1\n"
        assert holder.stdin is not None
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
        assert public.with_name("ledger.db-wal").exists()
        assert as_nobody(lambda: glance(public)) == ONE_WAITS

    def test_leaves_nothing_behind(self, public: Path, clock: Clock) -> None:
        with Ledger.open(public, clock=clock) as ledger:
            queued(ledger)
        before = public.read_bytes()
        glance(public)
        as_nobody(lambda: glance(public))
        assert [entry.name for entry in public.parent.iterdir()] == ["ledger.db"]
        assert public.read_bytes() == before

    @pytest.mark.parametrize("closed", ["ledger.db", "."])
    def test_is_told_when_it_must_not_be_read(self, public: Path, closed: str) -> None:
        Ledger.open(public).close()
        (public.parent / closed).chmod(0o600)
        seen = as_nobody(lambda: glance(public))
        assert isinstance(seen, PlaceError)
        assert seen.kind == "no-permission"


class TestWhatCannotBeRead:
    def test_a_damaged_ledger_is_said_to_be(self, path: Path) -> None:
        Ledger.open(path).close()
        path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])
        with pytest.raises(LedgerError) as refusal:
            glance(path)
        assert refusal.value.kind == "ledger-damaged"

    def test_a_newer_ledger_is_said_to_be(self, path: Path) -> None:
        Ledger.open(path).close()
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("PRAGMA user_version = 99")
        with pytest.raises(LedgerError) as refusal:
            glance(path)
        assert refusal.value.kind == "ledger-newer"


class TestItIsQuick:
    def test_it_needs_neither_sqlalchemy_nor_alembic(self) -> None:
        code = "import sys, ocrd.ledger.readonly; print(*sys.modules)"
        loaded = {name.split(".")[0] for name in answer(python(code)).split()}
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
