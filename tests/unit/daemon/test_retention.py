"""Old done jobs are forgotten, as `keep_done_days` says; test_expiry.py has what stays."""

from pathlib import Path

from tests.integration.tree import Tree, ask, daemon, scan
from tests.support.waiting import wait_for


def test_a_daemon_forgets_what_is_older_than_it_is_told_to_keep(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "srv")
    tree.drop("a.jpg", scan(1))
    tree.drop("b.jpg", scan(2))
    assert tree.run()[0] == 0
    text = tree.config.read_text(encoding="utf-8")
    tree.config.write_text(text.replace("[watch]", "[ledger]\nkeep_done_days = 0.00001\n[watch]"))
    with daemon(tree):
        wait_for(lambda: ask(tree, "jobs")["jobs"] == [])
    assert tree.visible("archive") == ["a.jpg", "b.jpg"]
