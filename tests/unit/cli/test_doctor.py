"""`ocrd doctor`: what is well is said to be; what is not comes with what to do."""

from __future__ import annotations

import json
import os
import pwd
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import load
from ocrd.daemon import doctor
from ocrd.daemon.places import Verdict, trees
from ocrd.engine.tesseract import packs
from ocrd.ledger.ledger import Ledger
from tests.support.needs import needs
from tests.support.nobody import NOBODY, as_nobody
from tests.unit.cli.conftest import Tree
from tests.unit.inbox.support import public_folder
from tests.unit.ledger import making


def findings(tree: Tree) -> tuple[int, list[dict[str, Any]]]:
    ended = tree.ocrd("doctor", "--json")
    told = json.loads(ended.stdout)
    assert told["version"] == 1
    return ended.returncode, told["findings"]


def worst(found: list[dict[str, Any]], check: str) -> dict[str, Any]:
    """The worst finding of a check."""
    order = ("ok", "warning", "problem")
    return max(
        (each for each in found if each["check"] == check),
        key=lambda each: order.index(each["verdict"]),
    )


def test_a_sound_tree_has_no_problem_and_only_lacks_the_daemon(tree: Tree) -> None:
    with Ledger.open(tree.ledger) as ledger:
        making.done(ledger)
    code, found = findings(tree)
    assert code == 0
    assert worst(found, "daemon")["verdict"] == "warning"
    assert worst(found, "ledger")["verdict"] == "ok"
    assert worst(found, "engine")["verdict"] == "ok"
    assert worst(found, "invoices inbox")["verdict"] == "ok"


def elsewhere(tree: Tree) -> Path:
    """Let the folder take its files from outside the root, where nothing is."""
    share = tree.root.parent / "share"
    tree.config.write_text(f'{tree.config.read_text()}inbox = "{share}"\n')
    return share


def test_an_inbox_that_is_not_there_is_a_problem_with_a_remedy(tree: Tree) -> None:
    share = elsewhere(tree)
    code, found = findings(tree)
    assert code == 1
    (problem,) = [each for each in found if each["check"] == "invoices inbox"]
    assert problem["verdict"] == "problem"
    assert str(share) in problem["hint"]
    lines = tree.ocrd("doctor").stdout.splitlines()  # for people: a line, and the remedy below
    (number,) = [number for number, line in enumerate(lines) if "is not there" in line]
    assert lines[number].startswith("PROBLEM")
    assert lines[number + 1].strip().startswith("mkdir -p")


def test_an_inbox_below_the_root_that_the_daemon_will_make_is_none(tree: Tree) -> None:
    shutil.rmtree(tree.inbox)
    code, found = findings(tree)
    assert code == 0
    assert worst(found, "invoices inbox")["verdict"] == "ok"


def test_a_group_that_there_is_not_is_told_when_the_configuration_is_checked(tree: Tree) -> None:
    tree.config.write_text(f'{tree.config.read_text()}group = "no-such-group"\n')
    checked = tree.ocrd("config", "check")
    assert "there is no group no-such-group" in checked.stderr
    assert "groupadd no-such-group" in checked.stderr


def test_a_ledger_without_a_folder_is_a_problem_and_the_daemon_says_the_same(tree: Tree) -> None:
    text = tree.config.read_text(encoding="utf-8")
    away = tree.root / "not-there"
    tree.config.write_text(f'{text}\n[ledger]\npath = "{away}/ledger.db"\n', encoding="utf-8")
    code, found = findings(tree)
    assert code == 1
    assert str(away) in worst(found, "ledger")["hint"]
    said = tree.ocrd("run", "--once")
    assert said.returncode == 1
    assert f"there is no folder {away} for the ledger" in said.stderr


@pytest.mark.parametrize(
    ("path", "said", "remedy"),
    [("inbox", "a folder is there", "inbox/ledger.db"), ("config.toml/l.db", "a file", "rename")],
    ids=["a folder", "below a file"],
)
def test_a_ledger_whose_path_is_taken_is_told_with_what_helps(
    tree: Tree, path: str, said: str, remedy: str
) -> None:
    text = tree.config.read_text(encoding="utf-8")
    taken = tree.root / path
    tree.config.write_text(f'{text}\n[ledger]\npath = "{taken}"\n', encoding="utf-8")
    for command in (("run", "--once"), ("jobs",)):
        told = tree.ocrd(*command)
        assert told.returncode == 1
        assert said in told.stderr and remedy in told.stderr
    problem = worst(findings(tree)[1], "ledger")
    assert said in str(problem) and remedy in str(problem)


def test_a_damaged_ledger_is_found(tree: Tree) -> None:
    with Ledger.open(tree.ledger) as ledger:
        for number in range(50):
            making.queued(ledger, f"{number}.pdf")
    with tree.ledger.open("r+b") as file:  # pages of the file, the header spared
        file.seek(4096)
        file.write(random.Random(1).randbytes(8192))
    code, found = findings(tree)
    assert code == 1
    assert worst(found, "ledger")["verdict"] == "problem"


def test_every_finding_that_is_not_ok_has_a_hint(tree: Tree) -> None:
    elsewhere(tree)
    tree.ledger.write_bytes(b"this is no database, only a text of some length" * 50)
    _, found = findings(tree)
    bad = [each for each in found if each["verdict"] != "ok"]
    assert len(bad) >= 3
    assert all(each["hint"] for each in bad)


def test_looking_leaves_no_trace(tree: Tree) -> None:
    for name in ("outbox", "archive", "failed"):
        (tree.root / name / "invoices").mkdir(parents=True)
    before = sorted(tree.root.rglob("*"))
    tree.ocrd("doctor")
    assert sorted(tree.root.rglob("*")) == before


@needs("root")
def test_a_group_for_results_has_to_be_one_that_the_daemons_user_is_in(tree: Tree) -> None:
    stranger, member = "news", "daemon"  # groups, and users, of every Debian
    spool = tree.root / ".ocrd"
    spool.mkdir(exist_ok=True)
    os.chown(spool, pwd.getpwnam(member).pw_uid, -1)
    for group, verdict in ((member, "ok"), (stranger, "problem"), ("no-such-group", "problem")):
        text = tree.config.read_text().split("group =")[0]
        tree.config.write_text(f'{text}group = "{group}"\n')
        found = worst(findings(tree)[1], "invoices group")
        assert (found["verdict"], bool(found["hint"])) == (verdict, verdict != "ok")


def test_who_wants_pages_upright_is_told_who_sees_it(tree: Tree) -> None:
    with tree.config.open("a") as config:
        config.write("upright = true\n")
    found = worst(findings(tree)[1], "upright")
    assert (found["verdict"], found["found"]) == ("ok", "the engine sees it itself")


def test_with_vllm_and_without_tesseract_nobody_sees_it(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "folder", lambda: tmp_path / "nothing")
    text = tree.config.read_text().replace('"rapidocr"', '"vllm"')
    tree.config.write_text(f"{text}upright = true\n")
    (found,) = doctor.orientation(load(tree.config))
    assert found.verdict is Verdict.WARNING
    assert "invoices" in found.found
    assert "tesseract-ocr" in found.hint


def test_files_that_lie_in_no_folder_are_told_of(tree: Tree) -> None:
    stray = tree.root / "inbox" / "unknown" / "a.pdf"
    stray.parent.mkdir(parents=True)
    stray.touch()
    found = worst(findings(tree)[1], "strays")
    assert found["found"] == f"1 file lies in no folder: {stray.parent}"
    assert "[[folder]]" in found["hint"]


def looked_at(config: Path) -> list[tuple[str, str, str]]:
    """What is found of the trees, and the remedies, by a user without rights."""
    seen = as_nobody(lambda: [(*each,) for each in trees(load(config))])
    assert isinstance(seen, list), seen
    return [(check, found, hint) for check, verdict, found, hint in seen if verdict != "ok"]


@needs("acl")
def test_what_is_said_of_trees_that_are_closed_names_each_and_its_remedy_opens_it() -> None:
    with public_folder() as top:
        tree = Tree(top / "srv")
        places = {kind: tree.root / kind / "invoices" for kind in ("outbox", "archive", "failed")}
        for path in places.values():
            path.mkdir(parents=True)
        for path in (tree.root, *tree.root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        tree.config.chmod(0o644)
        assert looked_at(tree.config) == []
        os.chown(places["outbox"], 0, 0)  # another's
        places["outbox"].chmod(0o755)
        places["failed"].chmod(0o600)  # its own, without the right to enter
        places["archive"].rmdir()
        places["archive"].touch()  # a file in its place
        found = looked_at(tree.config)
        assert [check for check, _, _ in found] == [
            "invoices outbox",
            "invoices archive",
            "invoices failed",
        ]
        for _, said, hint in found:
            assert "filesystem" not in said, "it is on the same"
            command = hint.partition(";")[0].partition(" (or")[0]
            if command.startswith("sudo "):
                subprocess.run(command.removeprefix("sudo "), shell=True, check=True)
            else:
                assert "Move or rename it" in hint
                places["archive"].rename(top / "away")
        assert looked_at(tree.config) == []


@needs("acl")
@pytest.mark.parametrize("mode", [0o755, 0o711, 0o700])
def test_a_tree_in_a_closed_folder_is_named_itself_and_opened_alone(mode: int) -> None:
    """Else all of /srv was to be opened for the sake of /srv/ocrd."""
    with public_folder() as top:
        tree = Tree(top / "srv")
        outbox = tree.root / "outbox" / "invoices"
        outbox.mkdir(parents=True)
        tree.config.chmod(0o644)
        for path in (tree.root, *tree.root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        for path in (outbox, outbox.parent):
            os.chown(path, 0, 0)
        outbox.parent.chmod(0o755)
        outbox.chmod(mode)
        ((check, said, hint),) = looked_at(tree.config)
        assert check == "invoices outbox"
        assert said.startswith(f"{outbox}: ")
        subprocess.run(hint.removeprefix("sudo ").partition(" (or")[0], shell=True, check=True)
        assert looked_at(tree.config) == []
        assert outbox.parent.stat().st_mode & 0o777 == 0o755


@needs("root")
def test_before_the_first_start_only_the_daemons_user_is_told_what_it_may_do() -> None:
    """A member of its group was told to open the folders above the root for themselves."""
    with public_folder() as top:
        tree = Tree(top / "srv")
        tree.config.chmod(0o644)
        shutil.rmtree(load(tree.config).spool, ignore_errors=True)
        os.chown(tree.root, 1, 1)
        told = as_nobody(lambda: [(*each,) for each in doctor.examine(load(tree.config))])
        assert isinstance(told, list)
        ((check, _, _, hint),) = told
        assert check == "user"
        assert hint == f"sudo -u {pwd.getpwuid(1).pw_name} ocrd doctor"
