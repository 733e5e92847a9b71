"""What people see of `ocrd status` and `ocrd jobs`: in a pipe, on a terminal, on a dumb one."""

from __future__ import annotations

import json
import multiprocessing
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ocrd import snapshot
from ocrd.cli.jobs import moment
from ocrd.cli.main import main
from ocrd.cli.status import hours, plain
from ocrd.ledger.ledger import Ledger
from ocrd.views.phrases import about, duration
from tests.support.waiting import HANG_S
from tests.unit.cli.conftest import PROJECT, Tree
from tests.unit.ledger import making

FULL = {"kind": "disk-full", "message": "/srv is full", "hint": "Free some space."}


def facts(**folder: Any) -> dict[str, Any]:
    """A running daemon with one folder."""
    return {
        "daemon": {"state": "running", "pid": 4711, "since": None},
        "engine": {
            "kind": "vllm",
            "state": "loading",
            "detail": "weights, 40 %",
            "steps": ["max_crops 6 -> 4"],
        },
        "pages_per_s": 11.84,
        "pages_in_flight": 1,
        "left_s": 7300.0,
        "folders": [
            {
                "name": "invoices",
                "waiting": 3,
                "running": 2,
                "done": 40_000,
                "failed": 1,
                "oldest_waiting_s": 7200.0,
                "settling": 5,
                "in_inbox": None,
                "unmarked": 0,
                "overdue": [],
                "paused": None,
                "waits_until": None,
                "conditions": [],
                **folder,
            }
        ],
        "troubles": [],
        "held": [],
        "strays": [],
        "failures": [],
        "latest": [],
    }


def test_a_line_for_each_thing() -> None:
    assert plain(facts()) == [
        "daemon running (pid 4711)",
        "engine vllm loading weights, 40 %",
        "  lowered: max_crops 6 -> 4",
        "pages/s 11.84, 1 page in flight, 5 files to go, about 2 h 2 min left",
        "",
        "folder    waiting  oldest  settling  running    done  failed",
        "invoices        3     2 h         5        2  40,000       1",
    ]


def test_what_keeps_a_folder_waiting_is_said_once_with_its_remedy() -> None:
    told = facts(paused=FULL, conditions=[FULL], overdue=["never-ending.pdf"])
    text = "\n".join(plain(told))
    assert text.count("/srv is full") == 1
    assert "Free some space." in text
    assert "never-ending.pdf" in text


@pytest.mark.parametrize(
    ("opens", "said"), [((2026, 11, 23, 20, 0), "20:00"), ((2026, 11, 28, 0, 0), "Sat 00:00")]
)
def test_a_folder_outside_its_schedule_says_until_when_it_waits(
    opens: tuple[int, ...], said: str
) -> None:
    noon = datetime(2026, 11, 23, 12, 0).timestamp()  # a Monday
    opening = datetime(*opens).astimezone().isoformat()  # type: ignore[arg-type]  # five of them
    assert hours({"waits_until": opening}, noon) == [f"waits until {said}, by its schedule"]


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "1 file waits for a done marker"), (12, "12 files wait for a done")],
)
def test_files_that_wait_for_a_marker_are_counted(count: int, said: str) -> None:
    assert said in "\n".join(plain(facts(unmarked=count)))


def filled(tree: Tree) -> None:
    """Jobs of every kind, with names as long as they come."""
    with Ledger.open(tree.ledger) as ledger:
        for number in range(12):
            making.done(ledger, f"{number} {'a long name ' * 12}.pdf")
        making.failed(ledger, "[red]two\nlines[/red].pdf")
        making.queued(ledger, "waits.pdf")
    (tree.root / "inbox" / "loose.pdf").touch()
    (tree.root / "inbox" / "unknown" / "deep").mkdir(parents=True)
    (tree.root / "inbox" / "unknown" / "deep" / "lost.pdf").touch()
    (tree.inbox / "waits.pdf").touch()
    (tree.inbox / "not yet seen.pdf").touch()
    (tree.inbox / "upload.part").touch()


def test_a_stopped_daemon_counts_what_lies_about_and_shows_the_last_files_and_failures(
    tree: Tree,
) -> None:
    filled(tree)
    lines = tree.ocrd("status").stdout.splitlines()
    (counts,) = [line.split() for line in lines if line.startswith("invoices")]
    assert (counts[1], counts[-4:]) == ("1", ["2", "0", "12", "1"])
    inbox = tree.root / "inbox"
    for place in (inbox, inbox / "unknown"):
        assert f"1 file lies in no folder: {place} (add a [[folder]] for it, or move them)" in lines
    assert len([line for line in lines if re.match(r" +\d+ .* (?:done|failed) ", line)]) == 10
    failure = r"13  invoices/[red]two\nlines[/red].pdf: damaged: cannot be opened - Scan it"
    assert failure in "\n".join(lines)


def test_a_root_whose_mount_is_away_is_told(tree: Tree, tmp_path: Path) -> None:
    """As after `ocrd install`: the ledger lies elsewhere."""
    filled(tree)
    tree.config = tree.config.rename(tmp_path / "config.toml")
    ledger = tree.ledger.rename(tmp_path / "ledger.db")
    text = f'{tree.config.read_text()}[ledger]\npath = "{ledger}"\n'
    tree.config.write_text(text)
    tree.root.rename(tmp_path / "away")
    tree.root.mkdir()
    ended = tree.ocrd("status")
    assert f"{tree.root}/.ocrd is not there - Mount the root's file system" in ended.stdout
    assert ended.returncode == 3


def on_a_terminal(config: Path, *words: str, term: str = "xterm", seconds: float = 0) -> str:
    """What `ocrd WORDS` draws on a terminal of 80 columns; it is ended after so long, if at all."""
    here, there = pty.openpty()

    def begin() -> None:
        os.environ.update(OCRD_CONFIG=str(config), TERM=term, COLUMNS="80")
        sys.argv = ["ocrd", *words]
        with open(there, "w") as sys.stdout:
            main()

    running = multiprocessing.get_context("fork").Process(target=begin)
    running.start()
    os.close(there)
    drawn = b""
    until = time.monotonic() + seconds
    try:
        while more := os.read(here, 4096):
            drawn += more
            if seconds and (drawn.count(b"daemon ") > 1 or time.monotonic() > until):
                break
    except OSError:
        pass  # it has ended: nobody draws any more
    finally:
        running.kill()
        running.join()
        os.close(here)
    return drawn.decode()


@pytest.mark.parametrize("command", [["status"], ["jobs"]], ids=" ".join)
def test_a_terminal_of_80_columns_is_wide_enough(tree: Tree, command: list[str]) -> None:
    filled(tree)
    drawn = on_a_terminal(tree.config, *command)
    assert "\x1b[" in drawn  # states have colours
    lines = re.sub(r"\x1b\[\d*m", "", drawn).splitlines()
    assert len(lines) > 10
    assert [line for line in lines if len(line) > 80] == []
    assert any(r"[red]two\nlines[/red].pdf"[:8] in line for line in lines)


def test_a_terminal_lists_some_jobs_and_says_of_how_many_and_programs_are_told_of_all(
    tree: Tree,
) -> None:
    with Ledger.open(tree.ledger) as ledger:
        ledger.record([making.found(f"{number}.pdf") for number in range(61)])
    assert "50 of 61 jobs; --limit 61 shows all" in on_a_terminal(tree.config, "jobs")
    assert len(json.loads(tree.ocrd("jobs", "--json").stdout)["jobs"]) == 61
    assert len(tree.ocrd("jobs").stdout.splitlines()) == 61


def test_watching_in_a_pipe_and_on_a_dumb_terminal_prints_plainly(tree: Tree) -> None:
    drawn = on_a_terminal(tree.config, "status", "-w", term="dumb", seconds=HANG_S)
    assert drawn.count("daemon stopped") > 1
    assert "\x1b" not in drawn
    command = [sys.executable, "-m", "ocrd", "status", "-w", "--config", str(tree.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "daemon stopped\n"
        watching.kill()


def test_a_configuration_spoilt_while_the_daemon_runs_is_told_and_hides_nothing(tree: Tree) -> None:
    """Status goes on, by what the daemon says, and tells what is wrong with the file."""
    filled(tree)
    spool = tree.ledger.parent
    held = snapshot.take_lock(spool / snapshot.LOCK)
    assert held is not None
    engine = {"kind": "rapidocr", "model": "m", "state": "ready", "steps": []}
    folder = {"name": "invoices", "inbox": str(tree.inbox)}
    word = {"pid": os.getpid(), "engine": engine, "folders": [folder], "ledger": str(tree.ledger)}
    snapshot.write(spool, {**word, "config_digest": "of another file"})
    assert "systemctl reload ocrd" in tree.ocrd("status").stdout
    with tree.config.open("a") as file:
        file.write("[broken\n")
    ended = tree.ocrd("status")
    os.close(held)
    assert ended.returncode == 0
    assert "the configuration on disk is refused: " in ended.stdout
    assert "not valid TOML" in ended.stdout
    assert re.search(r"^invoices +1 ", ended.stdout, re.MULTILINE)


def test_a_stopped_daemons_inboxes_are_counted_however_deep_and_strays_are_told(tree: Tree) -> None:
    here = os.open(tree.inbox, os.O_RDONLY)
    for _ in range(1_100):  # more than Python's stack
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("deep.pdf", os.O_CREAT, dir_fd=here))
    os.close(here)
    (tree.inbox / ".hidden").touch()
    (tree.root / "inbox" / "loose.pdf").touch()
    (tree.root / "inbox" / "unknown").mkdir()
    (tree.root / "inbox" / "unknown" / "a.pdf").touch()
    told = json.loads(tree.ocrd("status", "--json").stdout)
    assert told["folders"][0]["in_inbox"] == 1
    inbox = str(tree.root / "inbox")
    assert told["strays"] == [
        {"path": inbox, "files": 1},
        {"path": f"{inbox}/unknown", "files": 1},
    ]
    subprocess.run(["rm", "-r", str(tree.inbox)], check=True)  # too deep for Python's own


@pytest.mark.parametrize(
    ("say", "seconds", "expected"),
    [
        (duration, 0, "0 s"),
        (duration, 119, "119 s"),
        (duration, 120, "2 min"),
        (duration, 7200, "2 h"),
        (duration, 864_000, "10 d"),
        (about, 20, "less than a minute"),
        (about, 60, "about 1 min"),
        (about, 4800, "about 1 h 20 min"),
        (about, 7200, "about 2 h"),
    ],
)
def test_a_duration_is_as_long_as_one_reads_at_a_glance(
    say: Callable[[float], str], seconds: float, expected: str
) -> None:
    assert say(seconds) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", datetime(2026, 11, 23, 11, 30)),
        ("3d", datetime(2026, 11, 20, 12, 0)),
        ("today", datetime(2026, 11, 23)),
        ("2026-11-01", datetime(2026, 11, 1)),
        ("2026-11-01T08:15", datetime(2026, 11, 1, 8, 15)),
    ],
)
def test_since_may_be_said_in_several_ways(text: str, expected: datetime) -> None:
    assert moment(text, datetime(2026, 11, 23, 12, 0).timestamp()) == expected.timestamp()
