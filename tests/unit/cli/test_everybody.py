"""No command ever shows a traceback: whoever asks, whether a daemon runs or not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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
CALLS = {
    "status": [["status"], ["status", "--json"]],
    "jobs": [["jobs"], ["jobs", "--json", "--folder", "invoices"], ["jobs", "-f", "typo"]],
    "show": [["show", "1"]],
    "logs": [["logs", "1"]],
    "submit": [["submit", "{scan}"], ["submit", "/nowhere.pdf", "-f", "invoices"]],
    "estimate": [["estimate", "/nowhere"]],
    "search": [["search", "word"], ["search", "?"]],
    "web": [["web", "token", "list"]],
    "retry": [["retry", "1"]],
    "cancel": [["cancel", "2"]],
    "pause": [["pause", "invoices"]],
    "resume": [["resume", "--all"]],
    "config": [["config", "check"], ["config", "show", "--json"]],
    "engine": [["engine", "serve-command"], ["engine", "serve-command", "--compose"]],
    "doctor": [["doctor"]],
    "rights": [["rights"]],
    "backup": [["backup", "{home}/copy.db"]],
    "install": [["install", "--dry-run", "--prefix", "{home}"]],
    "uninstall": [["uninstall", "--dry-run"]],
    "version": [["version"]],
}
NEVER_ENDING = {"run", "demo"}  # they have tests of their own
# All calls in one process that has given up root: a process for each would take minutes.
RUN = """
import contextlib, html, io, os, sys
import ocrd.daemon.wiring, ocrd.requests, ocrd.web.store
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
for call in (*warming, "engine\tserve-command"):
    answer(call)  # everything is imported while it can be read: Python may lie in /root
os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
for call in calls:
    said = answer(call)
    print("---", *sys.argv, said, sep="\\n", flush=True)
"""

pytestmark = needs("root")


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
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
    calls = [
        "\t".join(words).format(home=home, scan=home / "scan.pdf")
        for each in CALLS.values()
        for words in each
    ]
    with daemon(tree, runs=runs):
        ended = subprocess.run(
            [sys.executable, "-c", RUN, str(uid), str(gid), *calls],
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "OCRD_CONFIG": str(tree.config), "HOME": str(home)},
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    answers = ended.stdout.split("---\nocrd\n")[1:]
    assert len(answers) == len(calls)
    assert [each for each in answers if each.count("\n") < 3] == []  # something is said
    assert [each for each in answers if "Traceback" in each or "fault of ocrd" in each] == []


def test_all_commands_are_tried() -> None:
    assert CALLS.keys() | NEVER_ENDING == COMMANDS.keys()
