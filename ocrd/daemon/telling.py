"""Tells the outside once a second: a snapshot for `ocrd status`, and systemd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ocrd import snapshot
from ocrd.config import Config, Folder
from ocrd.daemon.hours import Hours
from ocrd.daemon.parts import House
from ocrd.daemon.rates import Rates
from ocrd.engine.base import EngineState
from ocrd.errors import OcrdError
from ocrd.inbox.inboxes import Inboxes
from ocrd.ledger.glance import FolderGlance, glance
from ocrd.observe.notifier import Notifier

Listener = Callable[[Mapping[str, Any]], None]

EVERY_S = 1.0
ALIVE = (EngineState.READY, EngineState.LOADING, EngineState.RESTARTING)


class Telling:
    """Gathers what is to be told, and tells it.

    Args:
        config: What is in force.
        house: The parts.
        inboxes: The inboxes.
        rates: How fast it goes.
        notifier: Who supervises.
        hours: When each folder's pages are read.
        listeners: Are handed the same facts (metrics are).
    """

    def __init__(
        self,
        config: Config,
        house: House,
        inboxes: Inboxes,
        rates: Rates,
        notifier: Notifier,
        *,
        hours: Hours,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._listeners = listeners
        self._config = config
        self._house = house
        self._inboxes = inboxes
        self._rates = rates
        self._notifier = notifier
        self._hours = hours
        self._started_at = time.time()
        self._ticks = -1

    async def run(self, folders: Callable[[], Mapping[str, Folder]]) -> None:
        """Tell every second until cancelled.

        Not by the house's threads: they may all wait for a ledger that is locked, or for a share,
        and a supervisor that hears nothing meanwhile ends a daemon that only waits.
        """
        while True:
            facts = self.facts(folders(), await self._counts())
            with contextlib.suppress(OSError):  # a full disk: the folders' pauses tell of it
                await asyncio.to_thread(snapshot.write, self._config.spool, facts)
            for listener in self._listeners:
                await asyncio.to_thread(listener, facts)
            self._notifier.status(self._line(facts))
            if self._all_alive():
                self._notifier.alive()
            await asyncio.sleep(EVERY_S)

    async def _counts(self) -> Mapping[str, FolderGlance]:
        try:
            seen = await asyncio.to_thread(glance, self._config.ledger)
        except OcrdError:  # locked, or the disk is full: the dispatcher tells of it
            return {}
        return {each.folder: each for each in seen.folders}

    def facts(
        self, folders: Mapping[str, Folder], counts: Mapping[str, FolderGlance]
    ) -> dict[str, Any]:
        """What is known of a running daemon."""
        engine = self._house.engine
        report = engine.report()
        return {
            "pid": os.getpid(),
            "started_at": self._started_at,
            "updated_at": time.time(),
            "config": str(self._config.file),
            "config_digest": self._config.digest,
            "root": str(self._config.root),
            "ledger": str(self._config.ledger),
            "engine": {
                "kind": engine.kind,
                "model": engine.model,
                "state": report.state.value,
                "detail": report.detail,
                "devices": list(report.devices),
                "steps": list(report.steps),
            },
            "pages_per_s": round(self._rates.pages_per_s(), 3),
            "pages": self._rates.pages,
            "pages_in_flight": self._house.gate.in_flight,
            "strays": self._inboxes.strays(),
            "folders": [
                self._folder(folder, counts.get(folder.name)) for folder in folders.values()
            ],
        }

    def _folder(self, folder: Folder, counted: FolderGlance | None) -> dict[str, Any]:
        pause = self._house.pauses.now.get(folder.name)
        intake = self._inboxes.report(folder.name)
        paused = intake.pop("condition", None)
        if found := pause or self._house.dispatcher.waits:
            paused = {"kind": found.kind, "message": found.message, "hint": found.hint}
        return {
            "name": folder.name,
            "mode": folder.mode.name,
            "resolution": folder.resolution.name,
            "inbox": str(folder.inbox),
            "paused": paused,
            "waits_until": self._hours.opens_at(folder),
            "waiting": counted.waiting if counted else 0,
            "running": counted.running if counted else 0,
            "oldest_waiting_s": _age(counted),
            "pages_per_s": round(self._rates.pages_per_s(folder.name), 3),
            **intake,
        }

    def _line(self, facts: Mapping[str, Any]) -> str:
        engine = facts["engine"]
        paused = sum(1 for folder in facts["folders"] if folder["paused"])
        trouble = f", {paused} folders paused" if paused else ""
        return (
            f"engine {engine['state']}, {self._house.dispatcher.running} jobs running, "
            f"{facts['pages_per_s']:.2f} pages/s{trouble}"
        )

    def _all_alive(self) -> bool:
        """Whether dispatcher, watchers and engine have each moved since the last look."""
        ticks, self._ticks = self._ticks, self._house.dispatcher.ticks
        moved = self._house.dispatcher.ticks != ticks or self._house.dispatcher.running > 0
        return moved and self._inboxes.healthy() and self._house.engine.report().state in ALIVE


def _age(counted: FolderGlance | None) -> float | None:
    if counted is None or counted.oldest_waiting is None:
        return None
    return round(max(0.0, time.time() - counted.oldest_waiting), 1)
