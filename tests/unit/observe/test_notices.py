"""Those whom `[notify]` names are told: real commands, a real web server, a sendmail of a test's.

The hooks are scripts on the disk; what they were given is read from what they wrote.
"""

from __future__ import annotations

import email
import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from email import policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ocrd.config.schema import NotifySettings
from ocrd.events import Event, Events
from ocrd.observe.notices import LISTED, Notices
from tests.support.waiting import HANG_S, wait_for
from tests.unit.children.support import is_running

HANGS_S = 2.0  # so long, once it runs, takes no command that does not hang


def script(path: Path, body: str) -> Path:
    """A shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


class Heard:
    """Events that notices tell of themselves."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]


class Told:
    """A stream of events with notices on it."""

    def __init__(self, sendmail: str = "/bin/false", **settings: Any) -> None:
        self.heard = Heard()
        self.events = Events(self.heard)
        self.notices = Notices(
            NotifySettings.model_validate(settings), self.events, sendmail=sendmail
        )
        self.events.add(self.notices)

    def fail(self, job: int, source: str = "scan.pdf") -> None:
        self.events.error(
            "job.failed",
            job=job,
            folder="invoices",
            source=source,
            kind="encrypted",
            error="needs a password",
            hint="Remove the password.",
            failed_to=f"/srv/failed/{source}",
        )


class Hook(HTTPServer):
    """A web server that keeps what is posted to it."""

    def __init__(self, status: int = 204) -> None:
        self.status = status
        self.posted: list[tuple[str | None, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), Keeper)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class Keeper(BaseHTTPRequestHandler):
    """Keeps a post's content type and JSON."""

    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.headers["Content-Type"], json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


class Babbler(socketserver.ThreadingTCPServer):
    """A server that speaks no HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Babble)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def __enter__(self) -> Babbler:
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Babble(socketserver.StreamRequestHandler):
    """Reads the head of a request and answers what is none."""

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"what?\r\n")


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_command_gets_the_facts_as_variables_and_as_json(tmp_path: Path) -> None:
    body = f'cat > {tmp_path}/stdin; env | grep ^OCRD_ > {tmp_path}/env; echo "$1" > {tmp_path}/arg'
    command = script(tmp_path / "filed", body)
    told = Told(on_done=[str(command), "$HOME; an argument"])
    told.events.emit("job.done", job=42, folder="invoices", source="ä b.pdf", outputs="/out/ä b")
    told.notices.stop()
    assert json.loads((tmp_path / "stdin").read_text()) == {
        "event": "job.done",
        "job": 42,
        "folder": "invoices",
        "source": "ä b.pdf",
        "outputs": "/out/ä b",
    }
    variables = (tmp_path / "env").read_text().splitlines()
    assert {"OCRD_EVENT=job.done", "OCRD_JOB=42", "OCRD_SOURCE=ä b.pdf"} <= set(variables)
    assert (tmp_path / "arg").read_text() == "$HOME; an argument\n"  # no shell looked at it


def test_a_command_may_call_ocrd_itself(tmp_path: Path) -> None:
    """Some facts bear the names of variables that would override the configuration."""
    config = tmp_path / "config.toml"
    config.write_text(f'root = "{tmp_path}"\n[[folder]]\nname = "scans"\n')
    command = [sys.executable, "-m", "ocrd", "config", "show", "--config", str(config)]
    told = Told(on_done=command)
    told.events.emit("job.done", job=42, folder="invoices", source="a.pdf", pages=3)
    told.notices.stop()
    assert [event.fields["error"] for event in told.heard.named("notice.failed")] == []


def test_each_command_is_called_for_its_own_end_only(tmp_path: Path) -> None:
    done = script(tmp_path / "done", f"echo done >> {tmp_path}/log")
    failed = script(tmp_path / "failed", f"echo failed >> {tmp_path}/log")
    told = Told(on_done=[str(done)], on_failed=[str(failed)])
    told.events.emit("job.queued", job=1)
    told.events.emit("job.done", job=1)
    told.fail(2)
    told.events.emit("job.cancelled", job=3)
    told.notices.stop()
    assert (tmp_path / "log").read_text().split() == ["done", "failed"]


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command's time begins when it has written a line into this file."""
    file, communicate, calls = tmp_path / "begun", subprocess.Popen.communicate, count(1)

    def patiently(process: subprocess.Popen[bytes], text: bytes, timeout: float) -> Any:
        number = next(calls)
        wait_for(lambda: len(_lines(file)) >= number)
        return communicate(process, text, timeout)

    monkeypatch.setattr(subprocess.Popen, "communicate", patiently)
    return file


def test_a_command_that_hangs_goes_with_all_that_it_started_and_the_next_one_runs(
    tmp_path: Path, begun: Path
) -> None:
    body = f'[ "$OCRD_JOB" = 2 ] && {{ echo . >> {begun}; exit 0; }}\n'
    body += f"sleep 600 & echo $$ $! >> {begun}; wait"
    command = script(tmp_path / "hang", body)
    told = Told(on_failed=[str(command), "a-token"], timeout_s=HANGS_S)
    told.fail(1)
    told.fail(2)
    wait_for(lambda: len(_lines(begun)) == 2 and told.heard.named("notice.failed"))
    told.notices.stop()
    hung, child = map(int, _lines(begun)[0].split())
    assert not Path("/proc", str(hung)).exists()
    wait_for(lambda: not is_running(child))
    (warning,) = told.heard.named("notice.failed")
    assert "timed out" in warning.fields["error"]
    assert "a-token" not in warning.fields["error"], "its arguments stay out of the log"
    assert warning.fields["hint"]


def test_who_emits_never_waits_for_a_command(tmp_path: Path) -> None:
    """The command waits for a file that is made only after all events were emitted."""
    body = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo ran >> {tmp_path}/log"
    told = Told(on_failed=[str(script(tmp_path / "slow", body))])
    for job in range(5):
        told.fail(job)
    assert not (tmp_path / "log").exists()
    (tmp_path / "go").touch()
    wait_for(lambda: len(_lines(tmp_path / "log")) == 5)
    told.notices.stop()


def test_what_a_command_leaves_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    """The background process ends only when the test says so, after the notice was told."""
    body = f"(while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; touch {tmp_path}/gone) & exit 0"
    told = Told(on_failed=[str(script(tmp_path / "fork", body))], timeout_s=HANG_S)
    told.fail(1)
    told.notices.stop()
    assert told.heard.named("notice.failed") == []
    (tmp_path / "go").touch()
    wait_for((tmp_path / "gone").exists)


@pytest.mark.parametrize(
    ("body", "said"),
    [("echo no printer >&2; exit 3", "exit code 3: no printer"), (None, "No such file")],
    ids=["it fails", "it is not there"],
)
def test_why_a_command_did_not_do_it_is_in_the_log_once_for_each_job(
    tmp_path: Path, body: str | None, said: str
) -> None:
    command = script(tmp_path / "bad", body) if body else tmp_path / "nowhere"
    told = Told(on_failed=[str(command)])
    told.fail(1)
    told.notices.stop()
    (warning,) = told.heard.named("notice.failed")
    assert said in warning.fields["error"]


def test_many_failures_are_one_mail_and_one_post(tmp_path: Path, hook: Hook) -> None:
    sendmail = script(
        tmp_path / "sendmail", f'echo "$@" >> {tmp_path}/args; cat >> {tmp_path}/mail'
    )
    told = Told(
        sendmail=str(sendmail), mail_to="office@example.org", webhook=hook.url, digest_s=3600
    )
    for job in range(LISTED + 20):
        told.fail(job, f"scan {job}.pdf")
    told.events.emit("job.done", job=999)
    told.notices.stop()
    assert (tmp_path / "args").read_text() == "-t -i\n"
    mail = email.message_from_bytes((tmp_path / "mail").read_bytes(), policy=policy.default)
    assert mail["To"] == "office@example.org"
    assert str(LISTED + 20) in mail["Subject"]
    text = mail.get_content()
    assert "scan 0.pdf" in text and "Remove the password." in text
    assert "and 20 more" in text
    ((kind, body),) = hook.posted
    assert kind == "application/json"
    assert (body["version"], body["count"], len(body["failed"])) == (1, LISTED + 20, LISTED)
    assert body["failed"][0]["hint"] == "Remove the password."


def test_a_digest_is_sent_when_its_time_has_come(hook: Hook) -> None:
    told = Told(webhook=hook.url, digest_s=0.2)
    told.fail(1)
    wait_for(lambda: len(hook.posted) == 1)
    told.fail(2)
    wait_for(lambda: len(hook.posted) == 2)
    told.notices.stop()
    assert [body["failed"][0]["job"] for _, body in hook.posted] == [1, 2]


def test_a_webhook_that_refuses_is_told_and_the_mail_goes_out_all_the_same(
    tmp_path: Path, hook: Hook
) -> None:
    hook.status = 500
    sendmail = script(tmp_path / "sendmail", f"cat > {tmp_path}/mail")
    told = Told(sendmail=str(sendmail), mail_to="a@example.org", webhook=hook.url)
    told.fail(1)
    told.notices.stop()
    (warning,) = told.heard.named("notice.failed")
    assert (warning.fields["way"], "500" in warning.fields["error"]) == ("webhook", True)
    assert (tmp_path / "mail").exists()


def test_what_answers_in_no_http_is_told_and_the_next_notices_go_out_all_the_same(
    tmp_path: Path,
) -> None:
    command = script(tmp_path / "hook", f"echo ran >> {tmp_path}/log")
    with Babbler() as babbler:
        told = Told(webhook=babbler.url, digest_s=0.0, on_failed=[str(command)])
        told.fail(1)
        wait_for(lambda: bool(told.heard.named("notice.failed")))
        told.fail(2)
        told.notices.stop()
    assert [each.fields["way"] for each in told.heard.named("notice.failed")] == ["webhook"] * 2
    assert _lines(tmp_path / "log") == ["ran"] * 2


def test_a_hostile_name_forges_no_header_and_no_line_of_a_mail(tmp_path: Path) -> None:
    sendmail = script(tmp_path / "sendmail", f"cat > {tmp_path}/mail")
    told = Told(sendmail=str(sendmail), mail_to="a@example.org")
    told.fail(1, "x\nBcc: everyone@example.org\n\udcff.pdf")
    told.notices.stop()
    assert told.heard.named("notice.failed") == []
    mail = email.message_from_bytes((tmp_path / "mail").read_bytes(), policy=policy.default)
    assert mail["Bcc"] is None
    assert not any(line.startswith("Bcc:") for line in mail.get_content().splitlines())


def test_a_hostile_name_reaches_a_command_as_it_is(tmp_path: Path) -> None:
    """A name that is no UTF-8, or holds a line feed, is a value like any other."""
    command = script(tmp_path / "hook", f'printf %s "$OCRD_SOURCE" > {tmp_path}/source')
    told = Told(on_failed=[str(command)])
    told.fail(1, "two\nlines \udcff.pdf")
    told.notices.stop()
    assert (tmp_path / "source").read_bytes() == b"two\nlines \xff.pdf"


def test_a_name_with_a_nul_fails_that_notice_only(tmp_path: Path) -> None:
    command = script(tmp_path / "hook", f"echo ran >> {tmp_path}/log")
    told = Told(on_failed=[str(command)])
    told.fail(1, "nul\0.pdf")
    told.fail(2)
    told.notices.stop()
    assert len(told.heard.named("notice.failed")) == 1
    assert _lines(tmp_path / "log") == ["ran"]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
