"""Who may not use a place is told whose it is, which group lets them in, and the command."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.errors import PlaceError
from ocrd.ledger.search import SearchIndex, index_of
from ocrd.owners import how_to_be_let_in, owned
from ocrd.web.store import Role, Store, store_path
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


MAKE = "import sys; from pathlib import Path; from ocrd.owners import make_for_owner as make; "


@pytest.mark.parametrize("able", [True, False])
def test_root_makes_a_file_for_its_folders_owner_where_it_may(place: Path, able: bool) -> None:
    """A container's root may lack the capability; what it made is its own then, and works."""
    os.chown(place, NOBODY, GROUP)
    less = [] if able else ["setpriv", "--bounding-set=-chown,-setuid,-setgid"]
    code = f"{MAKE}[make(Path(sys.argv[1]), 0o600) for _ in range(2)]"
    subprocess.run([*less, sys.executable, "-c", code, place / "web.db"], check=True)
    made = (place / "web.db").stat()
    assert (made.st_uid, made.st_gid) == ((NOBODY, GROUP) if able else (0, GROUP))
    assert made.st_mode & 0o777 == 0o600


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


@pytest.fixture
def ledgers() -> Iterator[Path]:
    """The folder of the daemon's ledger: its user's alone."""
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        folder = Path(top, "lib")
        folder.mkdir(mode=0o750)
        os.chown(folder, NOBODY, GROUP)
        yield folder


def _tokens(ledgers: Path) -> list[str]:
    return [token.name for token in Store(store_path(ledgers / "ledger.db")).tokens()]


def test_what_root_makes_beside_the_ledger_is_the_daemons(ledgers: Path) -> None:
    """`sudo ocrd web token add` and `sudo ocrd search --rebuild`, before the daemon has any."""
    Store(store_path(ledgers / "ledger.db")).add_token("office", Role.READ, None)
    index = SearchIndex(index_of(ledgers / "ledger.db"))
    index.add(1, "scans", ["invoice"])
    index.close()
    whose = {each.name: (each.stat().st_uid, each.stat().st_gid) for each in ledgers.iterdir()}
    assert {"web.db", "search.db"} <= whose.keys()
    assert set(whose.values()) == {(NOBODY, GROUP)}
    assert as_nobody(lambda: _tokens(ledgers), GROUP) == ["office"]


def test_what_belongs_to_root_there_is_told_with_a_command_that_mends_it(ledgers: Path) -> None:
    """As older versions left it."""
    place = store_path(ledgers / "ledger.db")
    Store(place).add_token("office", Role.READ, None)
    for each in ledgers.iterdir():
        os.chown(each, 0, 0)
    refused = as_nobody(lambda: _tokens(ledgers), GROUP)
    assert "Errno" not in str(refused)
    assert isinstance(refused, PlaceError)
    command = refused.hint.rpartition("sudo ")[2]
    subprocess.run(command, shell=True, check=True)  # as it is told
    assert as_nobody(lambda: _tokens(ledgers), GROUP) == ["office"]
