"""Nested folders: however deep they are, their files are picked up, or a condition says why not."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from pathlib import Path

from tests.support.waiting import wait_for
from tests.unit.inbox.test_inbox import House


def nest(inbox: Path, levels: int) -> None:
    here = os.open(inbox, os.O_RDONLY)
    for _ in range(levels):  # by descriptors, because no path can be that long
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_a_tree_of_a_thousand_levels_is_taken_and_what_is_too_deep_is_told(tmp_path: Path) -> None:
    house = House(tmp_path)
    deep = "d/" * 1100 + "deep.pdf"
    with closing(house.ledger):
        nest(house.inbox, 2100)
        (house.inbox / deep).write_bytes(b"scan")
        house.drop("letter.pdf")
        try:
            with house.intake() as intake:
                wait_for(intake.settled)
                (condition,) = intake.report()["conditions"]
        finally:  # pytest's own tidying recurses in Python
            subprocess.run(["rm", "-rf", str(house.inbox / "d")], check=True)
        assert house.jobs() == {"letter.pdf": [], deep: []}
        assert "File name too long" in condition["message"]
        assert house.events("inbox.failed") == []
