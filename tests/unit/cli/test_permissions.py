"""Who may look sees how things stand; who may not is told so, and not that nothing runs."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd import snapshot
from ocrd.config import load
from ocrd.daemon.doctor import examine
from ocrd.daemon.wiring import open_places
from ocrd.errors import PlaceError
from ocrd.events import Events
from ocrd.views.locate import locate
from ocrd.views.status import gather
from tests.support.needs import needs
from tests.support.nobody import NOBODY, as_nobody, in_a_child
from tests.unit.cli.conftest import Tree

OUR_GROUP = 60_000

pytestmark = needs("root")


@pytest.fixture
def running() -> Iterator[Tree]:
    """A tree of a group, as a daemon with the unit's umask leaves it; its lock is held."""
    folder = Path(tempfile.mkdtemp(prefix="ocrd-"))
    folder.chmod(0o755)
    before = os.umask(0o007)
    try:
        tree = Tree(folder / "srv")
        tree.config.rename(folder / "config.toml")
        tree.config = folder / "config.toml"
        tree.config.chmod(0o644)
        config = load(tree.config)
        ledger, _, places = open_places(config, Events())
        ledger.close()
        word = {"pid": os.getpid(), "folders": [{"name": "invoices"}], "pages_per_s": 2.5}
        snapshot.write(config.spool, word)
        for path in (tree.root, *tree.root.rglob("*")):
            os.chown(path, -1, OUR_GROUP)
        yield tree
        places.close()
    finally:
        os.umask(before)
        shutil.rmtree(folder)


def test_a_member_of_the_group_sees_the_daemon_run(running: Tree) -> None:
    told = as_nobody(lambda: gather(locate(running.config)), OUR_GROUP)
    assert isinstance(told, dict)
    assert told["daemon"] == {"state": "running", "pid": os.getpid(), "since": None}
    assert told["pages_per_s"] == 2.5


def test_a_stranger_is_told_what_he_lacks(running: Tree) -> None:
    told = as_nobody(lambda: gather(locate(running.config)))
    assert isinstance(told, PlaceError)
    assert told.kind == "no-permission"
    assert "usermod -aG" in told.hint


def test_the_doctor_looks_as_the_daemons_user_at_sub_folders_too(running: Tree) -> None:
    """Root is not told that all can be written; a closed sub-folder is named with its remedy."""
    closed = running.root / "inbox" / "invoices" / "closed"
    closed.mkdir(parents=True)
    for path in (running.root, *running.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.chown(closed, 0, 0)
    closed.chmod(0o755)
    os.chown(running.config, NOBODY, NOBODY)
    config = load(running.config)
    found = in_a_child(lambda: [(each.found, each.hint) for each in examine(config)])
    assert isinstance(found, list)
    ((what, hint),) = [each for each in found if "closed to the daemon" in each[0]]
    assert what == f"{closed} is closed to the daemon: owned by root:root, mode 0755"
    name = pwd.getpwuid(NOBODY).pw_name
    assert hint == f"sudo setfacl -R -m u:{name}:rwX {closed}"


def test_the_doctor_tells_others_how_to_ask_and_stops(running: Tree) -> None:
    config = load(running.config)
    found = as_nobody(lambda: [each.hint for each in examine(config)], OUR_GROUP)
    assert found == ["sudo -u root ocrd doctor"]


def test_what_a_look_at_the_configuration_leaves_in_the_spool_is_not_the_groups_to_change(
    running: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    kept = running.root / ".ocrd" / "located.json"
    kept.unlink(missing_ok=True)
    before = os.umask(0o007)  # as the unit has it
    try:
        locate(running.config)
    finally:
        os.umask(before)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640


def test_what_a_stranger_left_in_the_spools_place_is_neither_believed_nor_followed(
    running: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root asks, and a member of the group could swap the spool."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    spool, precious = running.root / ".ocrd", tmp_path / "precious"
    truth = locate(running.config)
    kept = spool / "located.json"
    kept.write_text(kept.read_text().replace(str(truth.ledger), str(tmp_path / "theirs.db")))
    os.chown(kept, NOBODY, NOBODY)
    precious.write_text("as it was")
    (spool / f"located.json.{os.getpid()}").symlink_to(precious)
    assert locate(running.config).ledger == truth.ledger
    assert precious.read_text() == "as it was"
