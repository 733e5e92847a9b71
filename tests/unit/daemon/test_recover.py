"""What a start finds in the spool of jobs that have ended."""

from __future__ import annotations

from pathlib import Path

from ocrd.errors import ExitCode
from tests.integration.tree import Tree

LAST_CALLS = (4, 3)  # counted from the end, of those that are made for a file that fails


def dropped(root: Path) -> Tree:
    tree = Tree(root)
    tree.drop("a.pdf", b"%PDF-1.7 and nothing else")
    return tree


def test_a_job_that_failed_leaves_nothing_in_the_spool_when_it_was_killed_at_its_end(
    tmp_path: Path,
) -> None:
    whole = dropped(tmp_path / "whole")
    assert whole.run()[0] == ExitCode.SOME_FAILED
    calls = int(whole.diary.read_text(encoding="utf-8").split()[-1])
    left = []
    for before_end in LAST_CALLS:
        tree = dropped(tmp_path / str(before_end))
        tree.run("--kill-before", str(calls + 1 - before_end))
        left.append(len(tree.spooled()))
        tree.run()
        assert tree.spooled() == []
        assert tree.visible("failed") == ["a.pdf", "a.pdf.error.json"]
    assert max(left) == 1  # else nothing was tried
