"""Places that go out of order under a running daemon, operators that ask, a second daemon."""

import contextlib
import hashlib
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ocrd import snapshot
from tests.integration.tree import Tree, ask, daemon, folder_of, log, order, scan
from tests.support.needs import need, slow
from tests.support.waiting import wait_for
from tests.unit.spool.mounts import remount, tmpfs


def test_a_full_outbox_pauses_its_folder_and_costs_no_attempt(tree: Tree) -> None:
    with tmpfs(tree.root / "outbox" / "scans", "64k"):
        filler = tree.root / "outbox" / "scans" / "filler"
        filler.write_bytes(b"x" * 60_000)
        with daemon(tree):
            for number in range(3):
                tree.drop(f"{number}.jpg", scan(number))
            wait_for(lambda: folder_of(tree)["paused"])
            paused = folder_of(tree)["paused"]
            assert paused["kind"] == "disk-full"
            assert paused["hint"]
            assert folder_of(tree)["failed"] == 0
            filler.unlink()
            wait_for(lambda: folder_of(tree)["done"] == 3)
            wait_for(lambda: folder_of(tree)["paused"] is None)
        jobs = ask(tree, "jobs")["jobs"]
        assert [job["attempts"] for job in jobs] == [1, 1, 1]
        assert log(tree).count("event=folder.paused") == 1
        assert log(tree).count("event=folder.resumed") == 1
        tree.check_whole()


@slow
def test_a_disk_full_of_everything_is_told_by_status_and_log_and_loses_nothing(
    tmp_path: Path,
) -> None:
    """Inbox, outbox, archive, spool, ledger and snapshot lie on one disk, as on most servers."""
    with tmpfs(tmp_path / "disk", "8m"):
        tree = Tree(tmp_path / "disk" / "srv")
        with daemon(tree) as process:
            wait_for(lambda: ask(tree, "status")["daemon"]["state"] == "running")
            tree.drop("a.jpg", scan(1))
            wait_for(lambda: folder_of(tree)["done"] == 1 and tree.spooled() == [])
            process.send_signal(signal.SIGSTOP)  # else it may be quicker than the disk is full
            tree.drop("b.jpg", scan(2))
            filler = tmp_path / "disk" / "filler"
            fill(filler)
            process.send_signal(signal.SIGCONT)
            wait_for(lambda: folder_of(tree)["paused"])
            paused = folder_of(tree)["paused"]
            assert paused["kind"] == "disk-full"
            assert paused["hint"]
            filler.unlink()
            wait_for(lambda: folder_of(tree)["done"] == 2)
            wait_for(lambda: folder_of(tree)["paused"] is None)
        assert [job["attempts"] for job in ask(tree, "jobs")["jobs"]] == [1, 1]
        for event in ("intake.waits", "dispatch.waits", "folder.paused"):
            assert log(tree).count(f"event={event}") <= 1
        tree.check_done()


@slow
def test_a_disk_full_of_all_but_the_ledger_costs_no_attempt_either(tmp_path: Path) -> None:
    """As after `ocrd install`: claims go on, and meet the full disk at every step."""
    with tmpfs(tmp_path / "disk", "8m"):
        tree = Tree(tmp_path / "disk" / "srv")
        settings = f'[ledger]\npath = "{tmp_path}/ledger.db"\n[[folder]]'
        tree.config.write_text(tree.config.read_text().replace("[[folder]]", settings))
        for number in range(4):
            tree.drop(f"{number}.jpg", scan(number))
        filler, gate = tmp_path / "disk" / "filler", tmp_path / "gate"
        with daemon(tree, "--engine-gate", str(gate)) as process:
            wait_for(lambda: folder_of(tree)["running"] > 0)
            process.send_signal(signal.SIGSTOP)
            fill(filler)
            process.send_signal(signal.SIGCONT)
            gate.touch()
            wait_for(lambda: "event=folder.paused" in log(tree))
            time.sleep(3.0)  # several tries meanwhile
            filler.unlink()
            wait_for(lambda: folder_of(tree)["done"] == 4)
        assert [job["attempts"] for job in ask(tree, "jobs")["jobs"]] == [1] * 4
        assert "defect" not in log(tree)
        assert "job.deferred" not in log(tree)


def fill(file: Path) -> None:
    """Write until nothing more fits."""
    with file.open("wb", buffering=0) as full:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while full.write(b"x" * size):
                    pass


@slow
def test_once_says_what_it_waited_for_in_vain(tree: Tree) -> None:
    with tmpfs(tree.root / "outbox" / "scans", "64k"):
        (tree.root / "outbox" / "scans" / "filler").write_bytes(b"x" * 60_000)
        tree.drop("a.jpg", scan(1))
        code, said = tree.run()
        assert code == 1
        assert "disk-full" in said
        (tree.root / "outbox" / "scans" / "filler").unlink()
        remount(tree.root / "outbox" / "scans", "size=16m")
        tree.work_off()
        tree.check_done()
    tree.drop("b.jpg", scan(2))
    code, said = tree.run()  # what lies beneath the mount point is not the outbox
    assert (code, "tree-lost" in said) == (1, True)
    (tree.root / "outbox" / "scans" / ".ocrd-tree").touch()  # until somebody says that it is
    tree.work_off()


def test_an_inbox_that_was_never_there_is_made_and_one_that_was_taken_away_is_not(
    tree: Tree,
) -> None:
    tree.inbox.rmdir()
    tree.work_off()
    assert tree.inbox.is_dir()
    tree.inbox.rmdir()
    tree.run()
    assert not tree.inbox.exists()


def test_a_share_that_goes_and_comes_loses_nothing(tree: Tree) -> None:
    """The inbox is a mount; while it is away, its files are not taken for deleted."""
    need("mounts")
    elsewhere = tree.root / "exported"
    elsewhere.mkdir()
    mount = ["mount", "--bind", str(elsewhere), str(tree.inbox)]
    subprocess.run(mount, check=True)
    try:
        with daemon(tree, "--engine-delay", "0.5"):
            for number in range(6):
                tree.drop(f"{number}.jpg", scan(number))
            wait_for(lambda: folder_of(tree)["done"] >= 1)
            subprocess.run(["umount", "--lazy", str(tree.inbox)], check=True)
            wait_for(lambda: folder_of(tree)["paused"])
            subprocess.run(mount, check=True)
            wait_for(lambda: folder_of(tree)["done"] == 6)
        states = {job["state"] for job in ask(tree, "jobs")["jobs"]}
        assert states == {"done"}
    finally:
        subprocess.run(["umount", "--lazy", str(tree.inbox)], check=False)


@pytest.mark.parametrize("place", ["inbox", "archive"])
def test_a_share_mounted_over_a_tree_is_told_before_a_job_meets_it(tree: Tree, place: str) -> None:
    with daemon(tree):
        tree.drop("a.jpg", scan(1))
        wait_for(lambda: folder_of(tree)["done"] == 1)
        over = tree.root / place / "scans"
        with tmpfs(over, "1m"):
            wait_for(lambda: folder_of(tree)["conditions"])
            (told,) = folder_of(tree)["conditions"]
            assert told["kind"] == "tree-lost"
            assert told["message"].startswith(f"{over} is not the folder it was")
            assert f"`: > {over}/.ocrd-tree`" in told["hint"]
            (over / ".ocrd-tree").touch()
            wait_for(lambda: not folder_of(tree)["conditions"])
            tree.drop("b.jpg", scan(2))
            wait_for(lambda: folder_of(tree)["done"] == 2)


def test_a_second_daemon_refuses_and_says_who_is_there(tree: Tree) -> None:
    with daemon(tree):
        wait_for(lambda: ask(tree, "status")["daemon"]["state"] == "running")
        code, said = tree.run()
    assert code == 1
    assert "another ocrd daemon" in said


def test_cancel_stops_a_job_and_retry_takes_it_up_again(tree: Tree) -> None:
    tree.drop("slow.jpg", scan(1))
    with daemon(tree, "--engine-delay", "600"):
        wait_for(lambda: folder_of(tree)["running"] == 1)
        order(tree, "cancel", "1")
        wait_for(lambda: ask(tree, "show", "1")["state"] == "cancelled")
    assert tree.visible("failed") == ["slow.jpg", "slow.jpg.error.json"]
    order(tree, "retry", "1")
    tree.work_off()
    assert tree.visible("failed") == []
    tree.check_done()


def test_stopping_costs_no_attempt_and_a_cancel_without_a_daemon_is_carried_out_at_once(
    tree: Tree,
) -> None:
    tree.drop("a.jpg", scan(1))
    with daemon(tree, "--engine-delay", "600"):
        wait_for(lambda: folder_of(tree)["running"] == 1)
    job = ask(tree, "show", "1")
    assert (job["state"], job["attempts"]) == ("queued", 0)
    order(tree, "cancel", "1")
    assert ask(tree, "show", "1")["state"] == "cancelled"
    assert tree.visible("failed") == ["a.jpg", "a.jpg.error.json"]


def test_a_writer_that_goes_on_after_the_claim_gets_its_last_word_read(tree: Tree) -> None:
    """It writes through another name of the same file: nothing shows that it is still at it."""
    first, elsewhere = scan(1), tree.root / "elsewhere.jpg"
    elsewhere.write_bytes(first)
    path = tree.inbox / "a.jpg"
    path.hardlink_to(elsewhere)
    gate = tree.root / "gate"
    with daemon(tree, "--engine-gate", str(gate)):
        wait_for(lambda: tree.diary.exists() and "asked" in tree.diary.read_text())
        assert not path.exists()
        with elsewhere.open("ab") as still_open:
            still_open.write(b"\0\0\0\0")
        gate.touch()
        wait_for(lambda: folder_of(tree)["done"] == 1)
    (job,) = ask(tree, "jobs")["jobs"]
    archived = Path(job["archived_to"]).read_bytes()
    assert archived == first + b"\0\0\0\0"
    (sidecar,) = (tree.root / "outbox" / "scans").glob("*/*.json")
    told = json.loads(sidecar.read_text(encoding="utf-8"))["sha256"]
    assert told == hashlib.sha256(archived).hexdigest()


def test_the_same_bytes_twice_are_two_documents_and_one_recognition(tree: Tree) -> None:
    tree.drop("a.jpg", scan(1))
    tree.work_off()
    tree.drop("b.jpg", scan(1))
    tree.work_off()
    tree.check_done()
    asked = [line for line in tree.diary.read_text().splitlines() if line.startswith("asked")]
    assert len(asked) == 1


def test_a_new_configuration_is_taken_or_refused_while_running(tree: Tree) -> None:
    def told(what: str) -> list[str]:
        troubles = (snapshot.read(tree.root / ".ocrd") or {"troubles": []})["troubles"]
        return [each["message"] for each in troubles if each["message"].startswith(what)]

    with daemon(tree) as process:
        wait_for(lambda: ask(tree, "status")["daemon"]["state"] == "running")
        text = tree.config.read_text(encoding="utf-8")
        tree.config.write_text(text + '[[folder]]\nname = "more"\nmode = "nonsense"\n')
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "event=daemon.reload_refused" in log(tree))
        wait_for(lambda: told("the configuration on disk is refused since "))
        tree.config.write_text(text + '[[folder]]\nname = "more"\n')
        (tree.root / "inbox" / "more").mkdir()
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "event=daemon.reloaded" in log(tree))
        wait_for(lambda: not told(""))
        (tree.root / "inbox" / "more" / "x.jpg").write_bytes(scan(7))
        wait_for(lambda: (tree.root / "archive" / "more" / "x.jpg").exists())


def test_a_folder_named_after_a_mode_is_taken_up_without_a_restart(tree: Tree) -> None:
    with daemon(tree):
        wait_for(lambda: ask(tree, "status")["daemon"]["state"] == "running")
        (tree.root / "inbox" / "ocr").mkdir()
        (tree.root / "inbox" / "ocr" / "x.jpg").write_bytes(scan(3))
        wait_for(lambda: (tree.root / "archive" / "ocr" / "x.jpg").exists())
