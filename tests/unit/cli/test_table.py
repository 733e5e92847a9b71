"""What people see of `ocrd status` and `ocrd jobs`: in a pipe and on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from rich.console import Console

from ocrd.cli.status import duration, hours, plain
from ocrd.cli.table import jobs_view, status_view
from ocrd.ledger.ledger import Ledger
from tests.unit.cli.conftest import Tree
from tests.unit.ledger import making

FULL = {"kind": "disk-full", "message": "/srv is full", "hint": "Free some space."}


def facts(**folder: Any) -> dict[str, Any]:
    """A running daemon with one folder."""
    return {
        "daemon": {"state": "running", "pid": 4711, "since": 0.0},
        "engine": {
            "kind": "vllm",
            "state": "loading",
            "detail": "weights, 40 %",
            "steps": ["max_crops 6 -> 4"],
        },
        "pages_per_s": 11.84,
        "pages_in_flight": 512,
        "folders": [
            {
                "name": "invoices",
                "waiting": 3,
                "running": 2,
                "done": 40,
                "failed": 1,
                "oldest_waiting_s": 7200.0,
                "pages_per_s": 11.5,
                "settling": 5,
                "unmarked": 0,
                "overdue": [],
                "paused": None,
                "waits_until": None,
                "conditions": [],
                **folder,
            }
        ],
    }


def shown(view: Any) -> str:
    """What a terminal of 120 columns shows, without its colours."""
    console = Console(file=io.StringIO(), width=120)
    console.print(view)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    assert isinstance(text, str)
    return text


def test_a_pipe_gets_a_line_for_each_thing() -> None:
    assert plain(facts()) == [
        "daemon running (pid 4711)",
        "engine vllm loading weights, 40 %",
        "  lowered: max_crops 6 -> 4",
        "pages/s 11.84",
        "invoices: 3 waiting, oldest 2 h, 2 running, 40 done, 1 failed, 11.50 pages/s",
    ]


def test_a_terminal_shows_the_same_facts() -> None:
    text = shown(status_view(facts()))
    for word in (
        "running",
        "vllm",
        "weights, 40 %",
        "max_crops 6 -> 4",
        "11.84",
        "11.50",
        "invoices",
        "2 h",
    ):
        assert word in text


@pytest.mark.parametrize(
    "show", [lambda told: "\n".join(plain(told)), lambda t: shown(status_view(t))]
)
def test_what_keeps_a_folder_waiting_is_said_once_with_its_remedy(show: Any) -> None:
    told = facts(paused=FULL, conditions=[FULL], overdue=["never-ending.pdf"])
    text = show(told)
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
    told = facts(waits_until=datetime(*opens).timestamp())["folders"][0]  # type: ignore[arg-type]  # five of them
    assert hours(told, noon) == [f"waits until {said}, by its schedule"]


@pytest.mark.parametrize(
    "show", [lambda told: "\n".join(plain(told)), lambda t: shown(status_view(t))]
)
def test_pipe_and_terminal_say_so(show: Any) -> None:
    assert "waits until" in show(facts(waits_until=4_000_000_000.0))
    assert "waits until" not in show(facts())


@pytest.mark.parametrize(
    "show", [lambda told: "\n".join(plain(told)), lambda t: shown(status_view(t))]
)
def test_files_that_wait_for_a_marker_are_counted(show: Any) -> None:
    assert "1 file waits for a done marker" in show(facts(unmarked=1))
    assert "12 files wait for a done marker" in show(facts(unmarked=12))
    assert "marker" not in show(facts())


def test_a_stopped_daemon_has_no_speed() -> None:
    told = facts(pages_per_s=0.0)
    told["daemon"] = {"state": "stopped", "pid": None, "since": None}
    assert not any("pages/s" in line for line in plain(told))


def test_markup_in_a_name_is_text_and_a_job_stays_one_row(tree: Tree) -> None:
    with Ledger.open(tree.ledger) as ledger:
        job = making.failed(ledger, "[red]two\nlines[/red].pdf")
    text = shown(jobs_view([replace(job, pages=3, pages_done=2)]))
    (row,) = [line for line in text.splitlines() if "two" in line]
    assert r"[red]two\nlines[/red].pdf" in row
    assert "2/3" in row and "cannot be opened" in row


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
        (864_000, "10 d"),
    ],
)
def test_a_duration_is_as_long_as_one_reads_at_a_glance(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
