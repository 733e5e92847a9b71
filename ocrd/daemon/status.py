"""The status of a running daemon, published once a second: for `ocrd status`, and to systemd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocrd import snapshot
from ocrd.config import Config, Folder
from ocrd.daemon import rights
from ocrd.daemon.scheduler import Scheduler
from ocrd.daemon.troubles import Troubles
from ocrd.engine.base import EngineState
from ocrd.errors import OcrdError
from ocrd.events import Event
from ocrd.files import display
from ocrd.inbox.inboxes import Inboxes
from ocrd.ledger.readonly import FolderGlance, glance
from ocrd.observe.systemd import Notifier
from ocrd.views.phrases import counted, iso

Listener = Callable[[Mapping[str, Any]], None]

EVERY_S = 1.0
ALIVE = (EngineState.READY, EngineState.LOADING, EngineState.RESTARTING)
PLACE = "the status file"
CLOSED = ("no-permission", "unreadable")
MOST_TOLD = 100  # held jobs that a snapshot lists
WINDOW_S = 60.0
PAGE_EVENTS = frozenset({"page.done", "page.partial", "page.failed"})
JOB_ENDS = frozenset({"job.done", "job.failed", "job.cancelled"})
FAILURES = frozenset({"job.failed", "file.refused"})


class Rates:
    """A sink that counts pages and failures, and knows each folder's recent pages per second.

    The clock counts seconds, and never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._recent: deque[tuple[float, str]] = deque()
        self._lately = Counter[str]()  # the number of recent pages, by folder
        self.pages = 0
        self.failed = 0

    def __call__(self, event: Event) -> None:
        """Count one event."""
        if event.name in PAGE_EVENTS:
            self.pages += 1
            self._recent.append((self._clock(), event.fields["folder"]))
            self._lately[event.fields["folder"]] += 1
        self.failed += event.name in FAILURES

    def pages_per_s(self, folder: str | None = None) -> float:
        """Pages (of one folder) finished per second over the last minute, or since the start."""
        now = self._clock()
        while self._recent and self._recent[0][0] < now - WINDOW_S:
            self._lately[self._recent.popleft()[1]] -= 1
        span = min(WINDOW_S, now - self._started)
        pages = len(self._recent) if folder is None else self._lately[folder]
        return pages / span if span > 0 else 0.0


@dataclass(eq=False)
class Status:
    """Gathers the status and publishes it."""

    config: Callable[[], Config]
    scheduler: Scheduler
    inboxes: Inboxes
    rates: Rates
    notifier: Notifier
    troubles: Troubles
    listeners: Sequence[Listener] = ()

    def __post_init__(self) -> None:
        self._started_at = time.time()
        self._ticks = -1
        self._closed: set[str] = set()  # messages of closed folders at the last round

    async def run(self) -> None:
        """Publish the status every second until cancelled.

        Its calls have threads of their own: those of the ledger or of a share may all be blocked,
        and a supervisor that hears nothing meanwhile ends a daemon that only waits.
        """
        call = self.scheduler.parts.call
        while True:
            facts = self.facts(await call(PLACE, self._counts))
            with contextlib.suppress(OSError):  # a full disk: the folders' pauses report it
                await call(PLACE, snapshot.write, self.config().spool, facts)
            for listener in self.listeners:
                await call(PLACE, listener, facts)
            await call(PLACE, self._have_opened, facts)
            self.notifier.status(self._line(facts))
            if self._all_alive():
                self.notifier.alive()
            await asyncio.sleep(EVERY_S)

    def _have_opened(self, facts: Mapping[str, Any]) -> None:
        """Ask, once for each, that dropped folders that are closed to the daemon be opened."""
        told = [*facts["held"]]
        for folder in facts["folders"]:
            told += [folder["paused"], *folder.get("conditions", ())]
        closed = {each["message"] for each in told if each and each["kind"] in CLOSED}
        if closed - self._closed:
            rights.ask(self.config().spool)
        self._closed = closed

    def _counts(self) -> Mapping[str, FolderGlance]:
        try:
            seen = glance(self.config().ledger)
        except OcrdError:  # locked, or the disk is full: the scheduler reports it
            return {}
        return {each.folder: each for each in seen.folders}

    def facts(self, counts: Mapping[str, FolderGlance]) -> dict[str, Any]:
        """The status of the daemon, as the snapshot has it; `counts` come from the ledger."""
        engine, scheduler = self.scheduler.parts.engine, self.scheduler
        report = engine.report()
        return {
            "pid": os.getpid(),
            "started_at": self._started_at,
            "updated_at": time.time(),
            "config": str(self.config().file),
            "config_digest": self.config().digest,
            "root": str(self.config().root),
            "ledger": str(self.config().ledger),
            "engine": {
                "kind": engine.kind,
                "model": engine.model,
                "state": report.state.value,
                "detail": report.detail,
                "devices": list(report.devices),
                "steps": list(report.steps),
            },
            "pages_per_s": round(self.rates.pages_per_s(), 3),
            "pages": self.rates.pages,
            "pages_in_flight": self.scheduler.parts.gate.in_flight,
            "troubles": self.troubles.told(),
            "strays": self.inboxes.strays(),
            "hanging": [
                {"place": each.place, "calls": each.calls, "seconds": round(each.seconds, 1)}
                for each in self.scheduler.parts.call.hanging()
            ],
            "running": [
                {"id": job, "pages": run.count, "pages_done": len(run.finished)}
                for job, run in sorted(self.scheduler.worker.runs.items())
            ],
            "held": [
                {"id": job, "until": wait.until, **wait.error.shown()}
                for job, wait in list(scheduler.held.now.items())[:MOST_TOLD]
            ],
            "folders": [
                self._folder(folder, counts.get(folder.name))
                for folder in scheduler.folders.values()
            ],
        }

    def _folder(self, folder: Folder, counted: FolderGlance | None) -> dict[str, Any]:
        scheduler = self.scheduler
        waited_s = None
        if counted and counted.oldest_waiting is not None:
            waited_s = round(max(0.0, time.time() - counted.oldest_waiting), 1)
        intake = self.inboxes.report(folder.name)
        condition = intake.pop("condition", None)
        trees = [tree for key, tree in folder.trees() if key != "inbox" or condition is None]
        lost = [self.troubles.lost.get(tree) for tree in trees]
        wait = scheduler.paused.now.get(folder.name)
        found = wait.error if wait else scheduler.waits
        hanging = scheduler.hanging().get(folder.name)
        paused: Mapping[str, Any] | None = condition
        if (since := scheduler.halted.get(folder.name)) is not None:
            message = f"paused by a person since {iso(since)}"
            hint = f"ocrd resume {display(folder.name)}"
            paused = {"kind": "by-a-person", "message": message, "hint": hint}
        elif found is not None:
            paused = found.shown()
        elif hanging is not None:
            hint = "Look at the disk or the share, and at its server; work goes on when it answers."
            paused = {"kind": "hangs", "message": hanging.message, "hint": hint}
        return {
            "name": folder.name,
            "mode": folder.mode.name,
            "resolution": folder.resolution.name,
            "inbox": str(folder.inbox),
            "paused": paused,
            "waits_until": scheduler.opens_at(folder),
            "waiting": counted.waiting if counted else 0,
            "running": counted.running if counted else 0,
            "oldest_waiting_s": waited_s,
            "pages_per_s": round(self.rates.pages_per_s(folder.name), 3),
            **intake,
            "conditions": [
                *intake.get("conditions", ()),
                *(each.shown() for each in lost if each),
            ],
        }

    def _line(self, facts: Mapping[str, Any]) -> str:
        engine = facts["engine"]
        paused = sum(1 for folder in facts["folders"] if folder["paused"])
        trouble = f", {counted(paused, 'folder')} paused" if paused else ""
        return (
            f"engine {engine['state']}, {self.scheduler.running} jobs running, "
            f"{facts['pages_per_s']:.2f} pages/s{trouble}"
        )

    def _all_alive(self) -> bool:
        """Whether inboxes and engine work, and the scheduler has moved or has jobs running."""
        ticks, self._ticks = self._ticks, self.scheduler.ticks
        moved = self.scheduler.ticks != ticks or self.scheduler.running > 0
        state = self.scheduler.parts.engine.report().state
        return moved and self.inboxes.healthy() and state in ALIVE
