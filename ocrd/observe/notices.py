"""Notifies people and programs of jobs: commands immediately, mail and webhooks as digests.

All of it happens on a thread of its own, bounded in time and number: a hook that hangs holds up
no job, and a thousand failures make one message.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from typing import Any

from ocrd.config.schema import NotifySettings
from ocrd.events import Event, Events
from ocrd.observe.log import one_line

TOLD = frozenset({"job.done", "job.failed"})
LONGEST_QUEUE = 10_000
LISTED = 50  # failures that a digest names; it counts the rest
LAST_WORDS = 500  # bytes of a failed command's standard error that are reported
SENDMAIL = "/usr/sbin/sendmail"


class Notices:
    """A sink that notifies as `[notify]` asks; when that fails, it emits an event to `events`.

    `sendmail` is the program that takes a mail on its standard input.
    """

    def __init__(
        self, settings: NotifySettings, events: Events, *, sendmail: str = SENDMAIL
    ) -> None:
        self._settings = settings
        self._events = events
        self._sendmail = sendmail
        self._waiting: queue.Queue[Event | None] = queue.Queue(LONGEST_QUEUE)
        self._digest: list[Mapping[str, Any]] = []
        self._failures = 0  # since the last digest, including those not listed
        self._digest_due = 0.0
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Queue an event; never waits."""
        if event.name not in TOLD:
            return
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self._events.warn("notice.dropped", about=event.name)

    def stop(self) -> None:
        """Send what is still to be sent, then end."""
        self._waiting.put(None)
        self._thread.join(2 * self._settings.timeout_s)

    def _run(self) -> None:
        while True:
            try:
                due_s = self._digest_due - time.monotonic()
                event = self._waiting.get(timeout=max(0.0, due_s) if self._digest else None)
            except queue.Empty:
                self._send_digest()
                continue
            if event is None:
                self._send_digest()
                return
            self._tell(event)

    def _tell(self, event: Event) -> None:
        failed = event.name == "job.failed"
        command = self._settings.on_failed if failed else self._settings.on_done
        if command:
            self._guarded("command", lambda: self._call(command, event))
        if failed and (self._settings.webhook or self._settings.mail_to):
            if not self._digest:
                self._digest_due = time.monotonic() + self._settings.digest_s
            self._failures += 1
            if len(self._digest) < LISTED:
                self._digest.append(dict(event.fields))

    def _call(self, command: Sequence[str], event: Event) -> None:
        """Run a hook: no shell, the facts in its environment and as JSON on its standard input."""
        facts = {"event": event.name, **event.fields}
        environment = {**os.environ, **{f"OCRD_{k.upper()}": str(v) for k, v in facts.items()}}
        text = json.dumps(facts, ensure_ascii=False).encode(errors="replace")
        timeout_s = self._settings.timeout_s
        run_command(command, text, timeout_s=timeout_s, environment=environment)

    def _send_digest(self) -> None:
        listed, self._digest = self._digest, []
        count, self._failures = self._failures, 0
        if listed and (webhook := self._settings.webhook):
            self._guarded("webhook", lambda: self._post(webhook, listed, count))
        if listed and self._settings.mail_to:
            self._guarded("mail", lambda: self._mail(listed, count))

    def _post(self, webhook: str, listed: Sequence[Mapping[str, Any]], count: int) -> None:
        body = {"version": 1, "count": count, "failed": listed}
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked with the configuration
            webhook,
            data=json.dumps(body, ensure_ascii=False).encode(errors="replace"),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=self._settings.timeout_s):  # noqa: S310 - likewise
            return

    def _mail(self, listed: Sequence[Mapping[str, Any]], count: int) -> None:
        message = EmailMessage()
        message["To"] = self._settings.mail_to
        message["Subject"] = f"ocrd: {count} file{'' if count == 1 else 's'} could not be read"
        message.set_content("\n".join(digest(listed, count)))
        command = [self._sendmail, "-t", "-i"]
        run_command(command, bytes(message), timeout_s=self._settings.timeout_s)

    def _guarded(self, way: str, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as error:  # such as an answer that is not HTTP; later notices go out
            hint = "See [notify] in the configuration; the job itself is not affected."
            self._events.warn("notice.failed", way=way, error=_reason(error), hint=hint)


def run_command(
    command: Sequence[str],
    text: bytes,
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run `command` with `text` on its standard input, and wait for it.

    It leads a process group of its own: when its time is over, everything that it started is
    killed, too.  Its standard error is a file and not a pipe, so that processes that it leaves in
    the background on purpose are not waited for.  `environment` is this process's own by default.

    Raises:
        OSError: It cannot be started.
        ValueError: An argument or a variable holds a NUL.
        subprocess.CalledProcessError: It failed; `stderr` holds the end of its standard error.
        subprocess.TimeoutExpired: It was killed.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command, from the configuration
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=environment,
            start_new_session=True,
        )
        with process:
            try:
                process.communicate(text, timeout=timeout_s)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            size = said.seek(0, os.SEEK_END)
            said.seek(max(0, size - LAST_WORDS))
            raise subprocess.CalledProcessError(process.returncode, command, stderr=said.read())


def digest(listed: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """The failures as lines for people: what, why, what to do; the rest of `count` as a number."""
    lines = []
    for failure in listed:
        told = {name: one_line(value) for name, value in failure.items()}
        lines += [
            f"{told.get('folder')}: {told.get('source')} (job {told.get('job')})",
            f"  {told.get('error')}",
            f"  {told.get('hint')}",
            f"  the original: {told.get('failed_to')}",
        ]
    if count > len(listed):
        lines.append(f"and {count - len(listed)} more: ocrd jobs --state failed")
    return lines


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or b"").decode(errors="replace").strip()
        return f"exit code {error.returncode}: {said}"
    if isinstance(error, subprocess.TimeoutExpired):  # its own text shows the command's arguments
        return f"timed out: killed after {error.timeout:g} s"
    return str(error)
