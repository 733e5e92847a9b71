"""A ledger that is damaged, lost or locked, and an archive that cannot be written to."""

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from ocrd.errors import ExitCode
from tests.integration.test_killed import book
from tests.integration.tree import (
    Tree,
    ask,
    daemon,
    folder_of,
    killed_on_the_way,
    log,
    scan,
)
from tests.slow.faults.strikes import LockedLedger
from tests.support.waiting import wait_for
from tests.unit.spool.mounts import remount, tmpfs

KINDS = ("json", "md", "pdf")
POSITIONS = 10  # number of disk calls before which the daemon is killed
PAGE = 4096  # bytes of a page of the SQLite file; the first holds the header


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "srv")


def ledger_of(tree: Tree) -> Path:
    return tree.root / ".ocrd" / "ledger.db"


def files_of_ledger(tree: Tree) -> list[Path]:
    beside = [Path(f"{ledger_of(tree)}{end}") for end in ("", "-wal", "-shm")]
    return [path for path in beside if path.exists()]


def overwrite(ledger: Path) -> None:
    """Overwrite every page but the first, as a bad copy might."""
    size = ledger.stat().st_size
    with ledger.open("r+b") as file:
        file.seek(PAGE)
        file.write(b"\xa5" * (size - PAGE))


def test_with_a_damaged_ledger_it_refuses_to_start_and_says_what_to_do(tree: Tree) -> None:
    tree.drop("a.jpg", scan(1))
    tree.work_off()
    overwrite(ledger_of(tree))
    damaged = ledger_of(tree).read_bytes()
    tree.drop("b.jpg", scan(2))
    code, said = tree.run()
    assert code == 1
    assert "the ledger is damaged" in said
    assert "move ledger.db, ledger.db-wal and ledger.db-shm aside" in said
    assert ledger_of(tree).read_bytes() == damaged
    assert tree.visible("inbox") == ["b.jpg"]


def test_once_the_damaged_ledger_is_moved_aside_everything_goes_on(tree: Tree) -> None:
    tree.drop("a.jpg", scan(1))
    tree.work_off()
    overwrite(ledger_of(tree))
    for path in files_of_ledger(tree):
        path.rename(tree.root / path.name)
    tree.drop("b.jpg", scan(2))
    tree.work_off()
    tree.check_whole()
    assert tree.visible("archive") == ["a.jpg", "b.jpg"]
    assert [job["source"] for job in ask(tree, "jobs")["jobs"]] == ["b.jpg"]


def test_a_lost_ledger_costs_no_file_that_was_under_way(tree: Tree) -> None:
    """Three originals lie in the spool, a fourth waits in the inbox."""
    with tree.start("--forever", "--engine-delay", "600") as process:
        for number in range(3):
            tree.drop(f"{number}.jpg", scan(number))
        wait_for(lambda: tree.visible("inbox") == [] and folder_of(tree)["running"] == 3)
        process.send_signal(signal.SIGKILL)
        process.wait(120)
    for path in files_of_ledger(tree):
        path.unlink()
    tree.drop("3.jpg", scan(3))
    said = tree.work_off()
    assert said.count("event=spool.put_back") == 3
    tree.check_done()


def test_an_original_of_which_nothing_tells_its_folder_is_told_until_a_person_takes_it(
    tree: Tree,
) -> None:
    with tree.start("--forever", "--engine-delay", "600") as process:
        tree.drop("a.jpg", scan(1))
        wait_for(lambda: folder_of(tree)["running"] == 1 and tree.visible("inbox") == [])
        process.send_signal(signal.SIGKILL)
        process.wait(120)
    for path in files_of_ledger(tree):
        path.unlink()
    (spooled,) = (tree.root / ".ocrd" / "jobs").iterdir()
    (spooled / "job.json").write_bytes(b"")
    with daemon(tree):
        wait_for(lambda: ask(tree, "status")["troubles"])
        (told,) = ask(tree, "status")["troubles"]
        assert told["kind"] == "orphan"
        assert told["message"].startswith("the spool holds 1 original ")
        assert f"Move what you need out of {spooled} by hand." in told["hint"]
        (original,) = spooled.glob("source*")
        original.rename(tree.inbox / "a.jpg")
        wait_for(lambda: folder_of(tree)["done"] == 1)
        wait_for(lambda: not ask(tree, "status")["troubles"])
    tree.check_whole()
    assert tree.visible("archive") == ["a.jpg"]


def test_a_locked_ledger_is_waited_for(tree: Tree) -> None:
    lock = LockedLedger(ledger_of(tree))
    with daemon(tree):
        wait_for(lambda: ask(tree, "status")["daemon"]["state"] == "running")
        lock.begin()
        try:
            for number in range(3):
                tree.drop(f"{number}.jpg", scan(number))
            time.sleep(3)
            assert tree.visible("archive") == []
        finally:
            lock.end()
        wait_for(lambda: folder_of(tree)["done"] == 3)
        assert [job["attempts"] for job in ask(tree, "jobs")["jobs"]] == [1, 1, 1]
    tree.check_done()


def test_an_archive_mounted_read_only_pauses_its_folder_until_it_is_writable(tree: Tree) -> None:
    archive = tree.root / "archive" / "scans"
    with tmpfs(archive, "1m"), daemon(tree):
        remount(archive, "ro")
        tree.drop("a.jpg", scan(1))
        wait_for(lambda: folder_of(tree)["paused"])
        assert folder_of(tree)["paused"]["kind"] == "read-only"
        assert folder_of(tree)["failed"] == 0
        remount(archive, "rw")
        wait_for(lambda: folder_of(tree)["done"] == 1)
        assert [job["attempts"] for job in ask(tree, "jobs")["jobs"]] == [1]
        assert log(tree).count("event=folder.paused") == 1
        wait_for(lambda: tree.spooled() == [])
        tree.check_done()


@pytest.mark.parametrize(
    ("content", "code", "seen"),
    [
        (book(2), ExitCode.OK, ["archive/a.pdf", *(f"outbox/a/a.{kind}" for kind in KINDS)]),
        (b"%PDF-1.7 cut off", ExitCode.SOME_FAILED, ["failed/a.pdf", "failed/a.pdf.error.json"]),
    ],
)
def test_killed_anywhere_and_the_ledger_lost_there_is_one_result_of_one_original(
    tmp_path: Path, content: bytes, code: ExitCode, seen: list[str]
) -> None:
    """Kills are spread over all disk calls that write, of a job that is done and one that fails."""

    def dropped(root: Path) -> Tree:
        tree = Tree(root)
        tree.drop("a.pdf", content)
        return tree

    for tree in killed_on_the_way(tmp_path, dropped, POSITIONS, code):
        for path in files_of_ledger(tree):
            path.unlink()
        assert tree.run()[0] in (ExitCode.OK, code)  # OK: the job had already ended
        trees = ("archive", "failed", "inbox", "outbox")
        assert [f"{each}/{name}" for each in trees for name in tree.visible(each)] == seen, (
            tree.root.name
        )
        assert tree.spooled() == []


def test_a_ledger_put_back_from_a_copy_made_while_a_job_was_delivered_holds_nothing_up(
    tree: Tree,
) -> None:
    """The copy says that the job is being delivered; its original and bundle arrived long ago."""
    tree.drop("a.jpg", scan(1))
    tree.work_off()
    with closing(sqlite3.connect(ledger_of(tree))) as raw, raw:
        raw.execute("UPDATE jobs SET state = 'delivering', place = 'spool', finished_at = NULL")
    tree.drop("b.jpg", scan(2))
    tree.work_off()
    tree.check_done()
