"""Who may not use a place is told whose it is, which group lets them in, and the command."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.owners import how_to_be_let_in, owned
from tests.support.needs import needs
from tests.support.nobody import NOBODY, as_nobody

GROUP = 60_001  # which has no name
NAME = pwd.getpwuid(NOBODY).pw_name

pytestmark = needs("root")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of a group that others cannot look into."""
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        place = Path(top, "srv")
        place.mkdir()
        os.chown(place, 0, GROUP)
        place.chmod(0o2770)
        yield place


@pytest.mark.parametrize("below", ["", "inbox", "inbox/scans/not there"])
def test_an_outsider_is_told_group_and_command_whatever_is_hidden(place: Path, below: str) -> None:
    command = f"sudo usermod -aG {GROUP} {NAME}"
    assert command in str(as_nobody(lambda: how_to_be_let_in(place / below)))


def test_who_is_in_the_group_already_is_not_sent_there(place: Path) -> None:
    told = str(as_nobody(lambda: how_to_be_let_in(place), GROUP))
    assert "usermod" not in told
    assert "sudo -u root ocrd" in told


def test_nobody_is_sent_into_the_group_of_root(place: Path) -> None:
    os.chown(place, 0, 0)
    assert "usermod" not in str(as_nobody(lambda: how_to_be_let_in(place)))


def test_owner_and_mode_are_told_in_names(place: Path) -> None:
    assert owned(place.stat()) == f"owned by root:{GROUP}, mode 2770"
