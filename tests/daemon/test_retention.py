"""Old done jobs are forgotten; everything else stays."""

import time
from pathlib import Path

import pytest

from ocrd.ledger.ledger import Ledger
from tests.e2e.test_killed import scan
from tests.e2e.tree import Tree


@pytest.mark.parametrize(("keep_days", "left"), [(0, 2), (1000, 2), (0.00001, 0)])
def test_a_daemon_forgets_what_is_older_than_it_is_told_to_keep(
    tmp_path: Path, keep_days: float, left: int
) -> None:
    tree = Tree(tmp_path / "srv")
    tree.drop("a.jpg", scan(1))
    tree.drop("b.jpg", scan(2))
    assert tree.run()[0] == 0
    text = tree.config.read_text(encoding="utf-8")
    tree.config.write_text(
        text.replace("[watch]", f"[ledger]\nkeep_done_days = {keep_days}\n[watch]")
    )
    time.sleep(1.0)  # longer than a hundred-thousandth of a day
    assert tree.run()[0] == 0
    with Ledger.open(tree.root / ".ocrd" / "ledger.db") as ledger:
        assert len(ledger.jobs()) == left
    assert tree.visible("archive") == ["a.jpg", "b.jpg"]
