"""No command ever shows a traceback: whoever asks, whether a daemon runs or not."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocrd import snapshot
from ocrd.cli.app import COMMANDS
from ocrd.ledger.ledger import Ledger
from tests.support.needs import needs
from tests.unit.cli.conftest import PROJECT, Tree
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
# All calls in one process that has given up root: a process for each would take minutes.
RUN = """
import contextlib, io, json, os, sys
import ocrd.daemon.wiring, ocrd.engine.remote.engine, ocrd.requests, ocrd.web.store
from ocrd.cli.main import main

def answer(call):
    sys.argv, sys.stdin = ["ocrd", *call.split("\\t")], io.StringIO()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit:
            pass
        except BaseException as error:
            said.write(f"Traceback {error!r}")
    return said.getvalue()

ocrd.requests.ask.__kwdefaults__["wait_s"] = 0.5  # this daemon answers nobody
uid, gid, *calls = sys.argv[1:]
warming = "config\\tcheck", "doctor", "jobs", "pause", "install\\t--dry-run", "estimate\\t/nowhere"
for call in (*warming, "engine\tserve-command", "web\ttoken\tlist", "show\t0"):
    answer(call)  # everything is imported while it can be read: Python may lie in /root
os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
print(json.dumps([(call, answer(call)) for call in calls]))
"""

pytestmark = needs("root")


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    with made_tree() as tree:
        yield tree


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
    lines = ["\t".join(words).format(home=home, scan=home / "scan.pdf") for words in calls]
    ended = subprocess.run(
        [sys.executable, "-c", RUN, str(uid), str(gid), *lines],
        capture_output=True,
        text=True,
        cwd=home,
        env={
            **os.environ,
            "OCRD_CONFIG": str(tree.config),
            "HOME": str(home),
            "PYTHONPATH": str(PROJECT),
        },
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answers = [(call, said) for call, said in json.loads(ended.stdout)]
    assert [call for call, _ in answers] == lines
    return answers


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


@pytest.mark.parametrize("runs", [True, False], ids=["with a daemon", "without one"])
@pytest.mark.parametrize("person", PEOPLE)
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


@pytest.mark.parametrize("state", SPOILT)
def test_whatever_state_things_are_in_nobody_sees_a_traceback(state: str) -> None:
    with made_tree() as tree:
        SPOILT[state](tree)
        answers = asked(tree, tree.root.parent, "root", [each[0] for each in CALLS.values()])
    assert [each for each in answers if faulty(each[1])] == []


def test_all_commands_are_tried() -> None:
    assert CALLS.keys() | NEVER_ENDING == COMMANDS.keys()
