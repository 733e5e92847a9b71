"""What the daemon tells the outside, and that it goes on telling."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ocrd import snapshot
from ocrd.config import load
from ocrd.daemon.hours import Hours
from ocrd.daemon.rates import Rates
from ocrd.daemon.telling import Telling
from ocrd.daemon.threads import Threads
from ocrd.engine.base import EngineReport, EngineState
from ocrd.observe.systemd import NoNotifier


class Watchdog(NoNotifier):
    """Is told that the daemon lives."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    def alive(self) -> None:
        self.told.set()


@pytest.fixture
def busy() -> Iterator[Threads]:
    """Threads that all wait, as they do for a ledger that another program keeps locked."""
    threads, over = Threads(1), threading.Event()
    threads._pool.submit(over.wait)
    yield threads
    over.set()
    threads.stop()


async def test_a_daemon_whose_threads_all_wait_tells_that_it_lives(
    tmp_path: Path, busy: Threads
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'root = "{tmp_path}"\n[[folder]]\nname = "scans"\n', encoding="utf-8")
    config = load(file)
    config.spool.mkdir()
    house = SimpleNamespace(
        call=busy,
        dispatcher=SimpleNamespace(ticks=1, running=1, waits=None),
        engine=SimpleNamespace(
            kind="fake", model="fake-1", report=lambda: EngineReport(state=EngineState.READY)
        ),
        gate=SimpleNamespace(in_flight=0),
        pauses=SimpleNamespace(now={}),
    )
    intakes = SimpleNamespace(healthy=lambda: True, report=lambda _folder: {})
    watchdog = Watchdog()
    telling = Telling(
        config,
        cast(Any, house),
        cast(Any, intakes),
        Rates(),
        watchdog,
        hours=Hours(lambda: 0.0),
    )
    task = asyncio.create_task(telling.run(lambda: {each.name: each for each in config.folders}))
    try:
        async with asyncio.timeout(120):
            await watchdog.told.wait()
    finally:
        task.cancel()
    told = snapshot.read(config.spool)
    assert told is not None and told["engine"]["state"] == "ready"
