"""A share that disappears while the daemon is stopped: its jobs wait for it, none is given up."""

import signal
from pathlib import Path

from tests.integration.tree import Tree, ask, daemon, folder_of, log, scan
from tests.support.waiting import wait_for
from tests.unit.spool.mounts import mounted

FILES = 30  # more than are claimed at once


def test_a_share_unmounted_between_two_starts_costs_no_job(tmp_path: Path) -> None:
    """Killed before the first original is moved: one job is running, all files are in the inbox."""
    empty, tree, server = Tree(tmp_path / "empty"), Tree(tmp_path / "srv"), tmp_path / "server"
    empty.work_off()
    first = int(empty.diary.read_text(encoding="utf-8").split()[-1]) + 1
    server.mkdir()
    with mounted("--bind", str(server), at=tree.inbox):
        for number in range(FILES):
            tree.drop(f"{number}.jpg", scan(number))
        assert tree.run("--kill-before", str(first))[0] == -signal.SIGKILL
    before = {job["id"] for job in ask(tree, "jobs")["jobs"]}
    with daemon(tree):
        wait_for(lambda: folder_of(tree)["paused"])
        assert folder_of(tree)["paused"]["kind"] == "share-lost"
        with mounted("--bind", str(server), at=tree.inbox):
            wait_for(lambda: folder_of(tree)["done"] == FILES and tree.spooled() == [])
            jobs = ask(tree, "jobs")["jobs"]
            assert {job["id"] for job in jobs} == before
            assert {job["state"] for job in jobs} == {"done"}
            assert "job.source_gone" not in log(tree)
            tree.check_done()
