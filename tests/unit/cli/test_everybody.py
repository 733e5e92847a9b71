"""No command ever shows a traceback: whoever asks, whether a daemon runs or not."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from ocrd import snapshot
from ocrd.cli.app import COMMANDS
from ocrd.ledger.ledger import Ledger
from ocrd.requests import ask
from tests.support.commands import ocrd
from tests.support.needs import few, needs
from tests.support.nobody import in_a_child
from tests.unit.cli.conftest import Tree
from tests.unit.ledger import making

DAEMON, GROUP, MEMBER, OUTSIDER = 60_001, 60_001, 60_002, 60_003
PEOPLE = {
    "root": (0, 0),
    "the daemon's user": (DAEMON, GROUP),
    "a member of the group": (MEMBER, GROUP),
    "an outsider": (OUTSIDER, OUTSIDER),
}
ODD_INSTALLATIONS = (
    ["--user", "no name"],
    ["--root", os.fsdecode(b"/\xff")],
    ["--root", "/with blanks"],
)
HUGE, ODD, LONG = "9" * 30, os.fsdecode(b"\xff\xfe.pdf"), "x" * 300
CALLS = {
    "status": [["status"], ["status", "--json"], ["status", "-c", ODD], ["status", "-c", "."]],
    "jobs": [["jobs"], ["jobs", "--json", "--folder", "invoices"], ["jobs", "-f", "typo"]]
    + [["jobs", "--since", since] for since in ("9" * 12 + "d", "0001-01-01", "", "5x", ODD)]
    + [["jobs", "--limit", HUGE], ["jobs", "-f", ODD]],
    "show": [["show", "1"], ["show", HUGE], ["show", "0"], ["show", ODD]],
    "logs": [["logs", "1"], ["logs", HUGE]],
    "submit": [["submit", "{scan}"], ["submit", "/nowhere.pdf", "-f", "invoices"]]
    + [["submit", odd] for odd in (ODD, "", LONG, "/dev/zero", "{home}/loop", "{home}/odd")]
    + [["submit", "{scan}", "-f", ODD]],
    "estimate": [["estimate", odd] for odd in ("/nowhere", "/dev/zero", ODD, LONG)],
    "search": [["search", word] for word in ("word", "?", '"', "AND", ODD)]
    + [["search", "word", "--limit", HUGE]],
    "web": [["web", "token", "list"]]
    + [["web", "token", verb, name] for verb in ("add", "remove") for name in ("", ODD, "office")]
    + [["web", "token", "add", "hall", "--role", "king"]],
    "retry": [["retry", "1"], ["retry", "1", HUGE], ["retry", "0"]],
    "cancel": [["cancel", "2"], ["cancel", HUGE]],
    "pause": [["pause", "invoices"], ["pause", ODD]],
    "resume": [["resume", "--all"]],
    "config": [["config", "check"], ["config", "show", "--json"]],
    "engine": [["engine", "serve-command"], ["engine", "serve-command", "--compose"]],
    "doctor": [["doctor"]],
    "rights": [["rights"]],
    "backup": [["backup", "{home}/copy.db"]]
    + [["backup", odd] for odd in (ODD, LONG, "", "/proc/copy.db", "{scan}")],
    "install": [["install", "--dry-run", "--prefix", odd] for odd in ("{home}", "{scan}")]
    + [["install", "--dry-run", "--prefix", "{home}", *odd] for odd in ODD_INSTALLATIONS],
    "uninstall": [["uninstall", "--dry-run", *odd] for odd in ([], ["--prefix", "{home}"])],
    "version": [["version"]],
}
CONFIG = 'root = "{root}"\n[engine]\nkind = "rapidocr"\n[[folder]]\nname = "invoices"\n'


def configured(text: str | bytes) -> Callable[[Tree], object]:
    """A configuration of this text."""
    raw = text if isinstance(text, bytes) else text.encode()
    return lambda tree: tree.config.write_bytes(raw.replace(b"{root}", bytes(tree.root)))


def spoilt(name: str, content: bytes | None = None) -> Callable[[Tree], object]:
    """A path below the root that holds something else, is a folder (`/`), or is not there."""

    def act(tree: Tree) -> None:
        path = tree.root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if content == b"/":
            path.mkdir()
        elif content is not None:
            path.write_bytes(content)

    return act


def made_by_a_newer_version(tree: Tree) -> None:
    with contextlib.closing(sqlite3.connect(tree.ledger)) as raw:
        raw.execute("PRAGMA user_version = 9999")
        raw.commit()


SPOILT: dict[str, Callable[[Tree], object]] = {
    "no configuration": lambda tree: tree.config.unlink(),
    "an unreadable one": lambda tree: tree.config.chmod(0o600),
    "broken TOML": configured('root = "{root}"\n[['),
    "bytes": configured(bytes(range(256))),
    "a root that is none": configured('root = "/srv\\u0000x"'),
    "a root that is a file": configured('root = "/dev/null"\n[[folder]]\nname = "a"'),
    "a root of the system": configured('root = "/proc/1"\n[[folder]]\nname = "a"'),
    "folders that are none": configured('root = "{root}"\nfolder = ["x", 3]'),
    "numbers beyond all": configured(CONFIG.replace("[eng", "[watch]\nsettle_s = 1e300\n[eng")),
    "a ledger nowhere": configured(CONFIG.replace("[eng", '[ledger]\npath = "/no/l.db"\n[eng')),
    "a ledger without a name": configured(CONFIG.replace("[eng", '[ledger]\npath = "/"\n[eng')),
    "a NUL in a setting": configured(CONFIG.replace("[eng", '[log]\nlevel = "a\\u0000"\n[eng')),
    "servers nowhere": configured(
        CONFIG.replace('"rapidocr"', '"server"\nservers = ["unix:/no.sock"]')
    ),
    "an empty root": lambda tree: [spoilt(each.name)(tree) for each in tree.root.iterdir()],
    "no root": spoilt("."),
    "a newer ledger": made_by_a_newer_version,
    "a ledger of garbage": spoilt(".ocrd/ledger.db", b"garbage" * 999),
    "a ledger that is a folder": spoilt(".ocrd/ledger.db", b"/"),
    "an empty ledger": spoilt(".ocrd/ledger.db", b""),
    "a snapshot of garbage": spoilt(".ocrd/status.json", bytes(range(256))),
    "a snapshot that says nothing": spoilt(".ocrd/status.json", b'{"version": 1}'),
    "a spool that is a file": spoilt(".ocrd", b""),
    "no inbox": spoilt("inbox"),
    "an inbox that is a file": spoilt("inbox", b""),
    "a search index of garbage": spoilt(".ocrd/search.db", b"garbage" * 999),
    "tokens of garbage": spoilt(".ocrd/web.db", b"garbage" * 999),
}
NEVER_ENDING = {"run", "demo"}  # they have tests of their own
WARMING = [
    *(["config", "check"], ["doctor"], ["jobs"], ["pause"], ["install", "--dry-run"]),
    *(["estimate", "/nowhere"], ["engine", "serve-command"], ["web", "token", "list"]),
    ["show", "0"],
]

pytestmark = needs("root")


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    with made_tree() as tree:
        yield tree


@pytest.fixture(scope="module", autouse=True)
def _everything_is_imported(tree: Tree) -> None:
    """As long as it can be read: Python may lie in /root."""
    for module in ("ocrd.daemon.wiring", "ocrd.engine.remote.engine"):
        importlib.import_module(module)
    for words in WARMING:
        tree.ocrd(*words)


@contextmanager
def made_tree() -> Iterator[Tree]:
    """A tree as `ocrd install` makes it for a user, with a job of each kind."""
    top = Path(tempfile.mkdtemp(prefix="ocrd-"))
    top.chmod(0o755)
    tree = Tree(top / "srv")
    tree.config = tree.config.rename(top / "config.toml")
    tree.config.chmod(0o644)
    tree.config.write_text(f"{tree.config.read_text()}settle_s = 0\n")
    with Ledger.open(tree.ledger) as ledger:
        making.failed(ledger, "locked.pdf")
        making.queued(ledger, "waits.pdf")
    for path in (tree.root, *tree.root.rglob("*")):
        os.chown(path, DAEMON, GROUP)
        path.chmod(0o2770 if path.is_dir() else 0o640)
    yield tree
    shutil.rmtree(top)


def asked(tree: Tree, home: Path, person: str, calls: list[list[str]]) -> list[tuple[str, str]]:
    """Each call of a person, as typed, and what was said; all of them in one process."""
    uid, gid = PEOPLE[person]
    typed = [[word.format(home=home, scan=home / "scan.pdf") for word in words] for words in calls]

    def look() -> list[tuple[str, str]]:
        assert ask.__kwdefaults__
        ask.__kwdefaults__["wait_s"] = 0.5  # this daemon answers nobody
        os.chdir(home)
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        return [(" ".join(words), answer(tree, home, words)) for words in typed]

    answers = in_a_child(look)
    assert isinstance(answers, list) and len(answers) == len(calls)
    return answers


def answer(tree: Tree, home: Path, words: list[str]) -> str:
    """What a call says, on both streams."""
    try:
        ended = ocrd(*words, OCRD_CONFIG=str(tree.config), HOME=str(home))
    except BaseException as error:
        return f"Traceback {error!r}"
    return ended.stdout + ended.stderr


def faulty(said: str) -> bool:
    return "Traceback" in said or "fault of ocrd" in said


@contextmanager
def daemon(tree: Tree, *, runs: bool) -> Iterator[None]:
    """The lock of a daemon, which says nothing yet."""
    held = snapshot.take_lock(tree.ledger.parent / snapshot.LOCK) if runs else None
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


@pytest.mark.parametrize(("person", "runs"), few([*product(PEOPLE, (True, False))]))
def test_whoever_asks_is_answered_or_told_what_is_missing(
    tree: Tree, person: str, *, runs: bool
) -> None:
    home = Path(tempfile.mkdtemp(dir=tree.root.parent))
    uid, gid = PEOPLE[person]
    os.chown(home, uid, gid)
    (home / "scan.pdf").write_bytes(b"%PDF-1.7")
    (home / "scan.pdf").chmod(0o644)
    (home / "loop").symlink_to("loop")
    (home / "odd").mkdir()
    (home / "odd" / ODD).touch()
    for name in ("etc/passwd", "etc/ocrd/config.toml", "etc/systemd/system/ocrd.service"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(b"User=\xff\n")
    with daemon(tree, runs=runs):
        answers = asked(tree, home, person, [call for each in CALLS.values() for call in each])
    assert [each for each in answers if not each[1].strip()] == []  # something is said
    assert [each for each in answers if faulty(each[1])] == []


@pytest.mark.parametrize("state", few([*SPOILT]))
def test_whatever_state_things_are_in_nobody_sees_a_traceback(state: str) -> None:
    with made_tree() as tree:
        SPOILT[state](tree)
        answers = asked(tree, tree.root.parent, "root", [each[0] for each in CALLS.values()])
    assert [each for each in answers if faulty(each[1])] == []


def test_all_commands_are_tried() -> None:
    assert CALLS.keys() | NEVER_ENDING == COMMANDS.keys()
