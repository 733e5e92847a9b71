"""Old done jobs are forgotten; everything else stays."""

from pathlib import Path

import pytest

from tests.integration.tree import Tree, ask, daemon, scan
from tests.support.waiting import wait_for


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Two jobs are done."""
    tree = Tree(tmp_path / "srv")
    tree.drop("a.jpg", scan(1))
    tree.drop("b.jpg", scan(2))
    assert tree.run()[0] == 0
    return tree


def keep(tree: Tree, days: float) -> None:
    text = tree.config.read_text(encoding="utf-8")
    tree.config.write_text(text.replace("[watch]", f"[ledger]\nkeep_done_days = {days}\n[watch]"))


def test_a_daemon_forgets_what_is_older_than_it_is_told_to_keep(tree: Tree) -> None:
    keep(tree, 0.00001)
    with daemon(tree):
        wait_for(lambda: ask(tree, "jobs")["jobs"] == [])
    assert tree.visible("archive") == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("days", [0, 1000])
def test_what_is_younger_or_kept_for_ever_stays(tree: Tree, days: float) -> None:
    keep(tree, days)
    assert tree.run()[0] == 0
    assert len(ask(tree, "jobs")["jobs"]) == 2
    assert tree.visible("archive") == ["a.jpg", "b.jpg"]
