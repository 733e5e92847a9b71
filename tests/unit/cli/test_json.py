"""The JSON that programs rely on: fields and types as promised, from a ledger filled for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest

from ocrd import snapshot
from ocrd.job import PageState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.pages import page_row
from tests.unit.cli.conftest import Tree, spawned
from tests.unit.ledger import making

JOB_FIELDS = {
    "id", "folder", "source", "state", "attempts", "pages", "pages_done", "sha256", "created_at",
    "finished_at", "outputs", "archived_to", "failed_to", "error",
}  # fmt: skip
ENDLESS = "two\nlines\x1b[31m \udcff.pdf"


@pytest.fixture
def filled(tree: Tree) -> Tree:
    """One job in each of four states: 1 done, 2 failed, 3 running, 4 queued."""
    with Ledger.open(tree.ledger) as ledger:
        making.done(ledger, "letter.pdf")
        making.failed(ledger, "locked.pdf")
        making.spooled(ledger, "under-way.pdf")
        making.queued(ledger, ENDLESS)
    return tree


def said(tree: Tree, *words: str) -> dict[str, Any]:
    """What a command prints as JSON, and that it prints nothing else."""
    ended = tree.ocrd(*words, "--json")
    assert ended.stderr == ""
    told: dict[str, Any] = json.loads(ended.stdout)
    assert told["version"] == 1
    return told


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", [(4, "queued"), (3, "running"), (2, "failed"), (1, "done")]),
        ("LETTER", [(1, "done")]),
        ("--folder invoices --limit 2", [(4, "queued"), (3, "running")]),
        ("--since 1h --limit 1", [(4, "queued")]),
        ("--since 2999-01-01", []),
    ],
)
def test_jobs_are_chosen_and_come_newest_first_with_every_promised_field(
    filled: Tree, words: str, found: list[tuple[int, str]]
) -> None:
    told = said(filled, "jobs", *words.split())
    assert [(job["id"], job["state"]) for job in told["jobs"]] == found
    assert all(job.keys() >= JOB_FIELDS for job in told["jobs"])
    assert told["total"] == (4 if "--limit" in words else len(found))


def test_a_joined_document_names_its_files(tree: Tree) -> None:
    with Ledger.open(tree.ledger) as ledger:
        making.queued(ledger, "alone.pdf")
        ledger.record([making.document("in/letter", "in/letter_1.jpg", "in/\udcff_2.jpg")])
        pages = [f"book_{number}.jpg" for number in range(1, 301)]
        ledger.record([making.document("book", *pages)])
    jobs = {job["source"]: job["members"] for job in said(tree, "jobs")["jobs"]}
    letter = ["in/letter_1.jpg", r"in/\xff_2.jpg"]
    assert jobs == {"alone.pdf": [], "in/letter": letter, "book": pages}
    assert said(tree, "show", "2")["members"] == letter
    assert r"2 files: letter_1.jpg, \xff_2.jpg" in tree.ocrd("show", "2").stdout.splitlines()
    assert "in/letter  2 files, - pages" in tree.ocrd("jobs").stdout
    (line,) = [line for line in tree.ocrd("show", "3").stdout.splitlines() if "files:" in line]
    assert line.startswith("300 files: book_1.jpg, ")
    assert line.endswith(", book_20.jpg and 280 more")


def test_a_done_job_says_where_everything_is(filled: Tree) -> None:
    (job,) = said(filled, "jobs", "--state", "done")["jobs"]
    assert job["outputs"] == "/outbox/letter.pdf"
    assert job["archived_to"] == "/archive/letter.pdf"
    assert (job["failed_to"], job["error"]) == (None, None)
    created, finished = (datetime.fromisoformat(job[key]) for key in ("created_at", "finished_at"))
    assert created.tzinfo is not None
    assert finished >= created


def test_a_path_in_json_can_be_opened_and_is_shown_beside_it(tree: Tree) -> None:
    name = os.fsdecode(b"caf\xe9\nmenu.pdf")
    with Ledger.open(tree.ledger) as ledger:
        making.done(ledger, name)
    ended = spawned("jobs", "--json", OCRD_CONFIG=str(tree.config))
    (job,) = json.loads(ended.stdout)["jobs"]
    assert os.fsencode(job["archived_to"]) == b"/archive/caf\xe9\nmenu.pdf"
    assert job["archived_to_display"] == r"/archive/caf\xe9\nmenu.pdf"


def test_a_failed_job_says_why_and_what_to_do(filled: Tree) -> None:
    (job,) = said(filled, "jobs", "--state", "failed")["jobs"]
    why = {"kind": "damaged", "message": "cannot be opened", "hint": "Scan it again."}
    assert job["error"] == why
    assert (job["failed_to"], job["outputs"]) == ("/failed/locked.pdf", None)
    lines = filled.ocrd("show", "2").stdout.splitlines()
    assert lines[0] == "job 2: locked.pdf in invoices"
    assert "damaged: cannot be opened" in lines
    assert "what to do: Scan it again." in lines


def test_a_hostile_name_is_escaped_in_json_and_in_plain_lines(filled: Tree) -> None:
    (job,) = said(filled, "jobs", "--state", "queued")["jobs"]
    assert job["source"].isprintable()
    assert "two" in job["source"] and "lines" in job["source"]
    lines = filled.ocrd("jobs").stdout.splitlines()
    assert len(lines) == 4 and all(line.isprintable() for line in lines)


def test_status_counts_each_folder_and_says_that_nothing_runs(filled: Tree) -> None:
    (filled.root / "inbox" / "ocr").mkdir()  # a folder by its name alone
    told = said(filled, "status")
    assert told["daemon"]["state"] == "stopped"
    assert (told["engine"]["kind"], told["engine"]["state"]) == ("rapidocr", "stopped")
    folder, idle = told["folders"]
    assert (idle["waiting"], idle["oldest_waiting_s"]) == (0, None)
    counted = {key: folder[key] for key in ("name", "waiting", "running", "done", "failed")}
    assert counted == {"name": "invoices", "waiting": 1, "running": 1, "done": 1, "failed": 1}
    assert folder["oldest_waiting_s"] >= 0


def test_status_of_a_daemon_that_has_said_nothing_yet_is_whole(filled: Tree) -> None:
    earlier = {"kind": "rapidocr", "model": "m", "state": "ready", "steps": ["lowered"]}
    held = snapshot.take_lock(filled.ledger.parent / snapshot.LOCK)
    assert held is not None
    for words in (None, {"pid": 1, "started_at": 5.0, "engine": earlier, "folders": []}):
        if words:
            snapshot.write(filled.ledger.parent, words)
        told = said(filled, "status")
        assert told["daemon"] == {"state": "running", "pid": os.getpid(), "since": None}
        assert (told["engine"]["kind"], told["engine"]["state"]) == ("rapidocr", "loading")
        assert [folder["name"] for folder in told["folders"]] == ["invoices"]
        assert "engine rapidocr loading" in filled.ocrd("status").stdout


def test_status_believes_a_snapshot_only_while_its_daemon_lives(filled: Tree) -> None:
    facts = {
        "pid": os.getpid(),
        "engine": {"kind": "rapidocr", "model": "m", "state": "ready", "steps": []},
        "pages_per_s": 2.5,
        "folders": [],
    }
    snapshot.write(filled.ledger.parent, facts)
    assert said(filled, "status")["engine"]["state"] == "stopped"
    held = snapshot.take_lock(filled.ledger.parent / snapshot.LOCK)
    assert held is not None
    told = said(filled, "status")
    assert told["daemon"]["state"] == "running"
    assert (told["engine"]["state"], told["pages_per_s"]) == ("ready", 2.5)


def test_status_watched_as_json_is_a_whole_line_each_time(filled: Tree) -> None:
    words = ["status", "--watch", "--json", "--config", str(filled.config)]
    command = [sys.executable, "-m", "ocrd", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        told = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.kill()
    assert [each["daemon"]["state"] for each in told] == ["stopped", "stopped"]


def test_show_adds_pages_and_history_to_the_job(filled: Tree) -> None:
    with Ledger.open(filled.ledger) as ledger:
        job = ledger.job(3)
        assert job is not None
        job = ledger.set_pages(job, 2, recipe="r")
        ledger.progress(job, [page_row(making.page(1), "{}", "r")])
        ledger.progress(
            job, [page_row(making.page(2, PageState.FAILED, error=making.NO_TEXT), None, "r")]
        )
    told = said(filled, "show", "3")
    assert told.keys() >= JOB_FIELDS | {"page_list", "history"}
    assert told["pages"] == 2
    assert [(page["number"], page["state"]) for page in told["page_list"]] == [
        (1, "done"),
        (2, "failed"),
    ]
    assert told["page_list"][1]["error"]["hint"] == "Scan it again."
    assert told["history"][0]["name"] == "queued"
    times = [entry["at"] for entry in told["history"]]
    assert times == sorted(times)


def test_config_show_names_the_origin_of_each_value(tree: Tree) -> None:
    told = said(tree, "config", "show")
    values = {row["key"]: (row["value"], row["origin"]) for row in told["values"]}
    assert values["engine.kind"] == ("rapidocr", "file")
    assert values["watch.rescan_s"] == (60.0, "default")
    assert values["ledger.path"] == (str(tree.ledger), "default")
    assert values["folder.invoices.inbox"] == (str(tree.inbox), "default")
    assert values["folder.invoices.settle_s"] == (5.0, "default")
