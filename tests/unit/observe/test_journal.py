"""A real journald, real journalctl: events are found by their fields."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.events import Events, Level
from ocrd.observe.log import journal_sink
from tests.support.needs import need
from tests.support.waiting import wait_for

JOURNALD = "/lib/systemd/systemd-journald"
SOCKET = "/run/systemd/journal/socket"


class Journal:
    """Asks journalctl for the entries of this test run, which bear its mark."""

    def __init__(self) -> None:
        self.mark = os.urandom(8).hex()

    def find(self, *matches: str) -> list[dict[str, str]]:
        command = ["journalctl", "--output=json", "--no-pager", f"OCRD_RUN={self.mark}", *matches]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [json.loads(line) for line in said.splitlines()]

    def await_one(self, *matches: str) -> dict[str, str]:
        found: list[dict[str, str]] = []

        def there() -> bool:
            found[:] = self.find(*matches)
            return bool(found)

        wait_for(there)
        (entry,) = found
        return entry


@pytest.fixture(scope="module")
def journal() -> Iterator[Journal]:
    """journald answers: the machine's, or where none runs one of the test's own."""
    need("journal")
    own = None
    if not _answers():
        Path(SOCKET).parent.mkdir(parents=True, exist_ok=True)
        own = subprocess.Popen([JOURNALD], stderr=subprocess.DEVNULL)
        wait_for(_answers)
    yield Journal()
    if own is not None:
        own.terminate()
        own.wait()


def _answers() -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.connect(SOCKET)
    except OSError:
        return False
    return True


@pytest.fixture
def events() -> Events:
    return Events(journal_sink("info"))


def test_a_job_is_found_by_its_number_folder_and_event(journal: Journal, events: Events) -> None:
    events.emit("job.done", run=journal.mark, job=42, folder="invoices", pages=3)
    events.warn("job.failed", run=journal.mark, job=43, folder="invoices", kind="encrypted")
    entry = journal.await_one("OCRD_JOB=43")
    assert entry["OCRD_EVENT"] == "job.failed"
    assert entry["OCRD_KIND"] == "encrypted"
    assert entry["PRIORITY"] == "4"
    assert entry["SYSLOG_IDENTIFIER"] == "ocrd"
    assert [each["OCRD_JOB"] for each in journal.find("OCRD_FOLDER=invoices")] == ["42", "43"]
    assert [each["OCRD_JOB"] for each in journal.find("OCRD_EVENT=job.done")] == ["42"]


def test_a_name_can_neither_break_its_line_nor_forge_a_field(
    journal: Journal, events: Events
) -> None:
    hostile = "a%s\nOCRD_JOB=1\nPRIORITY=0\x1b[31m\udcff"
    events.emit("job.queued", run=journal.mark, job=77, source=hostile)
    entry = journal.await_one("OCRD_JOB=77")
    assert entry["PRIORITY"] == "6"
    assert "\n" not in entry["MESSAGE"]
    assert "\x1b" not in entry["MESSAGE"]
    assert "OCRD_JOB=1" in entry["OCRD_SOURCE"]
    assert journal.find("OCRD_JOB=1") == []


def test_what_matters_less_than_the_level_is_not_written(journal: Journal) -> None:
    events = Events(journal_sink("warning"))
    events.emit("job.queued", run=journal.mark, job=90)
    events.emit("job.failed", Level.ERROR, run=journal.mark, job=91)
    journal.await_one("OCRD_JOB=91")
    assert journal.find("OCRD_JOB=90") == []
