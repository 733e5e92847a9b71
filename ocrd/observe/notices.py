"""People and programs are told of jobs: commands at once, mail and webhooks as digests.

All of it happens on a thread of its own, bounded in time and number: a hook that hangs holds up
no job, and a thousand failures make one message.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from typing import Any

from ocrd.config.schema import NotifySettings
from ocrd.events import Event, Events
from ocrd.observe.command import run_command
from ocrd.observe.oneline import one_line

TOLD = frozenset({"job.done", "job.failed"})
LONGEST_QUEUE = 10_000
LISTED = 50  # failures that a digest names; it counts the rest
SENDMAIL = "/usr/sbin/sendmail"


class Notices:
    """A sink that tells those whom `[notify]` names.

    Args:
        settings: Whom, and how.
        events: Is told when telling fails.
        clock: A clock that never goes back, seconds.
        sendmail: The program that takes a mail on its standard input.
    """

    def __init__(
        self,
        settings: NotifySettings,
        events: Events,
        *,
        clock: Callable[[], float] = time.monotonic,
        sendmail: str = SENDMAIL,
    ) -> None:
        self._settings = settings
        self._events = events
        self._clock = clock
        self._sendmail = sendmail
        self._waiting: queue.Queue[Event | None] = queue.Queue(LONGEST_QUEUE)
        self._digest: list[Mapping[str, Any]] = []
        self._digest_due = 0.0
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Take an event; never waits."""
        if event.name not in TOLD:
            return
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self._events.warn("notice.dropped", about=event.name)

    def stop(self) -> None:
        """Tell what is still to be told, then end."""
        self._waiting.put(None)
        self._thread.join(2 * self._settings.timeout_s)

    def _run(self) -> None:
        while True:
            try:
                event = self._waiting.get(timeout=self._patience())
            except queue.Empty:
                self._send_digest()
                continue
            if event is None:
                self._send_digest()
                return
            self._tell(event)

    def _patience(self) -> float | None:
        return max(0.0, self._digest_due - self._clock()) if self._digest else None

    def _tell(self, event: Event) -> None:
        failed = event.name == "job.failed"
        command = self._settings.on_failed if failed else self._settings.on_done
        if command:
            self._guarded("command", lambda: self._call(command, event))
        if failed and (self._settings.webhook or self._settings.mail_to):
            if not self._digest:
                self._digest_due = self._clock() + self._settings.digest_s
            self._digest.append(dict(event.fields))

    def _call(self, command: Sequence[str], event: Event) -> None:
        """Run a hook: no shell, the facts in its environment and as JSON on its standard input."""
        facts = {"event": event.name, **event.fields}
        environment = {**os.environ, **{f"OCRD_{k.upper()}": str(v) for k, v in facts.items()}}
        text = json.dumps(facts, ensure_ascii=False).encode(errors="replace")
        timeout_s = self._settings.timeout_s
        run_command(command, text, timeout_s=timeout_s, environment=environment)

    def _send_digest(self) -> None:
        failures, self._digest = self._digest, []
        if not failures:
            return
        if self._settings.webhook:
            self._guarded("webhook", lambda: self._post(failures))
        if self._settings.mail_to:
            self._guarded("mail", lambda: self._mail(failures))

    def _post(self, failures: Sequence[Mapping[str, Any]]) -> None:
        body = {"version": 1, "count": len(failures), "failed": failures[:LISTED]}
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked with the configuration
            self._settings.webhook or "",
            data=json.dumps(body, ensure_ascii=False).encode(errors="replace"),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=self._settings.timeout_s):  # noqa: S310 - likewise
            return

    def _mail(self, failures: Sequence[Mapping[str, Any]]) -> None:
        message = EmailMessage()
        message["To"] = self._settings.mail_to
        plural = "" if len(failures) == 1 else "s"
        message["Subject"] = f"ocrd: {len(failures)} file{plural} could not be read"
        message.set_content("\n".join(digest(failures)))
        command = [self._sendmail, "-t", "-i"]
        run_command(command, bytes(message), timeout_s=self._settings.timeout_s)

    def _guarded(self, way: str, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as error:  # such as no HTTP at all; the next notices are told all the same
            hint = "See [notify] in the configuration; the job itself is not affected."
            self._events.warn("notice.failed", way=way, error=_reason(error), hint=hint)


def digest(failures: Sequence[Mapping[str, Any]]) -> list[str]:
    """The failures as lines for people: what, why, what to do."""
    lines = []
    for failure in failures[:LISTED]:
        told = {name: one_line(value) for name, value in failure.items()}
        lines += [
            f"{told.get('folder')}: {told.get('source')} (job {told.get('job')})",
            f"  {told.get('error')}",
            f"  {told.get('hint')}",
            f"  the original: {told.get('failed_to')}",
        ]
    if len(failures) > LISTED:
        lines.append(f"and {len(failures) - LISTED} more: ocrd jobs --state failed")
    return lines


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or b"").decode(errors="replace").strip()
        return f"exit code {error.returncode}: {said}"
    if isinstance(error, subprocess.TimeoutExpired):  # its own words tell the command's arguments
        return f"timed out: killed after {error.timeout:g} s"
    return str(error)
