"""What the daemon tells the outside, and that it goes on telling."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from ocrd import snapshot
from ocrd.config import load
from ocrd.daemon.retries import Waits
from ocrd.daemon.status import Rates, Status
from ocrd.daemon.troubles import Troubles
from ocrd.engine.base import EngineReport, EngineState
from ocrd.errors import ConfigError, OcrdError
from ocrd.events import Events
from ocrd.observe.systemd import Notifier
from ocrd.worker.calls import LEDGER, Calls
from tests.unit.inbox.support import Clock


class Watchdog(Notifier):
    """Is told that the daemon lives."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()

    def alive(self) -> None:
        self.told.set()


def facts_of(tmp_path: Path, **changed: Any) -> Status:
    """The status of a daemon with one folder whose neighbours are as told."""
    file = tmp_path / "config.toml"
    file.write_text(f'root = "{tmp_path}"\n[[folder]]\nname = "scans"\n', encoding="utf-8")
    config = load(file)
    config.spool.mkdir(exist_ok=True)
    parts = SimpleNamespace(
        call=changed.pop("call", None) or Calls(),
        engine=SimpleNamespace(
            kind="fake", model="fake-1", report=lambda: EngineReport(state=EngineState.READY)
        ),
        gate=SimpleNamespace(in_flight=0),
    )
    run = SimpleNamespace(count=3, finished={1, 2})
    worker = SimpleNamespace(runs={7: run})
    scheduler = SimpleNamespace(
        parts=parts,
        worker=worker,
        ticks=1,
        running=1,
        waits=None,
        folders={each.name: each for each in config.folders},
        halted={},
        paused=Waits(60.0),
        held=Waits(60.0),
        hanging=dict,
        opens_at=lambda _folder: None,
    )
    intakes = SimpleNamespace(healthy=lambda: True, report=lambda _folder: {}, strays=list)
    return Status(
        lambda: load(file),
        cast(Any, scheduler),
        cast(Any, intakes),
        Rates(),
        changed.pop("notifier", Notifier()),
        troubles=changed.pop("troubles", Troubles()),
    )


async def test_a_daemon_whose_threads_all_wait_tells_that_it_lives(tmp_path: Path) -> None:
    """As they do for a ledger that another program keeps locked."""
    calls, over, watchdog = Calls(1), threading.Event(), Watchdog()
    ledger = asyncio.create_task(calls(LEDGER, over.wait))
    task = asyncio.create_task(facts_of(tmp_path, call=calls, notifier=watchdog).run())
    try:
        async with asyncio.timeout(120):
            await watchdog.told.wait()
    finally:
        over.set()
        task.cancel()
        await ledger
    told = snapshot.read(tmp_path / ".ocrd")
    assert told is not None
    assert told["engine"]["state"] == "ready"
    assert told["running"] == [{"id": 7, "pages": 3, "pages_done": 2}]


def test_a_folder_that_a_person_paused_says_so_and_how_it_goes_on(tmp_path: Path) -> None:
    status = facts_of(tmp_path)
    status.scheduler.halted = {"scans": 1_800_000_000.0}
    (folder,) = status.facts({})["folders"]
    assert folder["paused"]["message"].startswith("paused by a person since 2027-01-15T")
    assert folder["paused"]["hint"] == "ocrd resume scans"


def test_a_refused_configuration_and_a_part_that_failed_are_told(tmp_path: Path) -> None:
    troubles = Troubles()
    troubles.refused = (ConfigError("key: wrong", hint="Write it right."), 1_800_000_000.0)
    troubles.parts["the retention"] = (OcrdError("it failed", hint="Report it."), 0.0)
    part, refused = facts_of(tmp_path, troubles=troubles).facts({})["troubles"]
    assert part["message"] == "it failed"
    assert refused["message"].startswith("the configuration on disk is refused since 2027-01-15T")
    assert refused["message"].endswith(": key: wrong")
    assert refused["hint"] == "Write it right."


def test_a_configuration_that_was_taken_since_the_start_is_the_one_told_of(tmp_path: Path) -> None:
    """Else `ocrd status` says for ever that the file has changed since the daemon read it."""
    status = facts_of(tmp_path)
    before = status.facts({})["config_digest"]
    file = tmp_path / "config.toml"
    file.write_text(f"{file.read_text()}settle_s = 2\n", encoding="utf-8")
    assert status.facts({})["config_digest"] == load(file).digest != before


def test_each_folder_has_its_own_pages_of_the_last_minute() -> None:
    clock = Clock()
    rates = Rates(clock)
    events = Events(rates)
    clock.turn(100.0)
    for _ in range(30):
        events.emit("page.done", folder="pile")
    clock.turn(50.0)
    for _ in range(6):
        events.emit("page.failed", folder="mail")
    assert (rates.pages_per_s("pile"), rates.pages_per_s("mail")) == (0.5, 0.1)
    assert (rates.pages_per_s(), rates.pages_per_s("photos")) == (0.6, 0.0)
    clock.turn(20.0)
    assert (rates.pages_per_s("pile"), rates.pages_per_s("mail")) == (0.0, 0.1)
