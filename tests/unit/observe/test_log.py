"""The log: one line for each event, whatever a file is called."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import datetime

import pytest

from ocrd.events import Events, Level
from ocrd.files import display
from ocrd.observe.log import log_sink

HOSTILE = [
    "two\nlines.pdf",
    "carriage\rreturn.pdf",
    "colour\x1b[31m.pdf",
    os.fsdecode(b"broken \xff\xfe utf-8.pdf"),
    "line\u2028separator\x85.pdf",
    "right\u202eto left.pdf",
    'quote" event=job.done folder="other',
    '", "event": "job.failed',
    "nul\x00bell\x07.pdf",
    "x" * 255,
]


def written(form: str, level: str, *names: str) -> str:
    """What the log holds after one `job.done` for each name."""
    stream = io.StringIO()
    events = Events(log_sink(form, level, stream))
    for name in names:
        events.emit("job.done", job=1, source=name)
    return stream.getvalue()


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("form", ["plain", "json"])
def test_no_name_breaks_its_line_or_reaches_the_terminal(form: str, name: str) -> None:
    text = written(form, "info", name)
    assert text.endswith("\n")
    line = text.removesuffix("\n")
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    line.encode()  # no lone surrogates
    assert form == "plain" or json.loads(line)["event"] == "job.done"


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_name_on_the_console_brings_no_control_characters_of_its_own(name: str) -> None:
    harmless = written("console", "info", "harmless.pdf")
    text = written("console", "info", name)
    assert text.count("\n") == 1
    assert text.count("\x1b") == harmless.count("\x1b")


def test_json_lines_carry_name_level_and_fields() -> None:
    stream = io.StringIO()
    events = Events(log_sink("json", "info", stream))
    events.error("job.failed", job=42, folder="Größe", kind="encrypted")
    told = json.loads(stream.getvalue())
    assert datetime.fromisoformat(told.pop("timestamp")).tzinfo is not None
    assert told == {
        "event": "job.failed",
        "level": "error",
        "job": 42,
        "folder": "Größe",
        "kind": "encrypted",
    }


def test_a_name_that_was_escaped_where_it_was_emitted_is_not_escaped_again() -> None:
    told = json.loads(written("json", "info", display("two\nlines.pdf")))
    assert told["source"] == r"two\nlines.pdf"


@pytest.mark.parametrize("form", ["plain", "auto"])  # where there is no terminal
def test_plain_lines_begin_with_time_level_and_event(form: str) -> None:
    words = written(form, "info", "scan.pdf").split()
    assert words[0].startswith("timestamp=")
    assert words[1:3] == ["level=info", "event=job.done"]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["a.error", "a.warning", "a.info", "a.debug"]),
        ("info", ["a.error", "a.warning", "a.info"]),
        ("warning", ["a.error", "a.warning"]),
        ("error", ["a.error"]),
    ],
)
def test_a_level_lets_itself_and_worse_through(level: str, expected: list[str]) -> None:
    stream = io.StringIO()
    events = Events(log_sink("json", level, stream))
    for each in Level:
        events.emit(f"a.{each.name.lower()}", each)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == expected


def test_a_json_log_stays_json_whatever_libraries_and_their_children_print() -> None:
    program = """
import os, subprocess, sys
from ocrd.config import Settings
from ocrd.observe.sinks import audience
settings = Settings.model_validate({"root": "/srv", "log": {"format": "json"}})
with audience(settings, "info") as heard:
    heard.events.emit("daemon.started")
    subprocess.run(["sh", "-c", r"printf 'loading:  10%%\\rloading: 100%%\\nno end' >&2"])
    print("a library's words", file=sys.stderr)
print("after", file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    *lines, after = ended.stderr.splitlines()
    told = [json.loads(line) for line in lines]

    assert told[0]["event"] == "daemon.started"
    assert [each["line"] for each in told[1:]] == [
        "loading:  10%",
        "loading: 100%",
        "no enda library's words",
    ]
    assert after == "after"
