"""The daemon's life: start in order, run until told to stop, stop in reverse."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from ocrd.ages import AgeClock
from ocrd.config import Config
from ocrd.daemon.engines import build_engine, check_modes, reloaded
from ocrd.daemon.indexing import Indexing
from ocrd.daemon.recover import recover, take_in
from ocrd.daemon.requests import Requests
from ocrd.daemon.retention import Retention
from ocrd.daemon.status import Listener, Rates, Status
from ocrd.daemon.troubles import Troubles, kept_going
from ocrd.daemon.wiring import House, build
from ocrd.engine.base import Engine
from ocrd.errors import (
    EngineDownError,
    ExitCode,
    LedgerError,
    OcrdError,
    PlaceError,
    first_of,
)
from ocrd.events import Events
from ocrd.files import Disk, display
from ocrd.inbox.inboxes import MEMORY, Inboxes
from ocrd.job import ACTIVE
from ocrd.observe.systemd import Notifier
from ocrd.spool.orphans import Orphan
from ocrd.worker.calls import LEDGER

ENGINE_RETRY_S = (5.0, 15.0, 60.0)
ENGINE_STOPS_S = 30.0
START_S = 120.0  # the longest wait between two reports of progress while the engine starts
LAST_S = 20.0  # after the second signal to stop, the process ends at the latest
LOOK_S = 0.2
STUCK_S = 15.0  # `--once` gives up when everything left has waited for a place for so long
CLOCK = "clock.json"  # in the spool: the wall clock as the daemon saw it last
PLACE = "the configuration and its trees"
HELD = "the ledger and the lock"
HOLD_S = 1.0  # between two checks that both are still ours


class Daemon:
    """Runs the daemon with a configuration.

    With `once` it works off what is in the inboxes now, then ends.  The listeners are given the
    daemon's status once a second.  At the end, `left_behind` says whether calls that hang were left
    behind: the process should then exit without waiting for anything.
    """

    def __init__(
        self,
        config: Config,
        events: Events,
        *,
        once: bool = False,
        notifier: Notifier | None = None,
        engine: Engine | None = None,
        disk: Disk | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.config = config
        self.rates = Rates()
        self.left_behind = False
        self._events = events
        self._once = once
        self._notifier = notifier or Notifier()
        self._engine = engine or build_engine(config, events)
        self._disk = disk
        self._listeners = listeners
        self._unserved = check_modes(config, self._engine)
        self._troubles = Troubles()
        self._renewing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._interrupted = False
        self._replaced: LedgerError | None = None  # why it cannot go on
        self._up = False  # the engine has been ready
        events.add(self.rates)

    async def run(self) -> ExitCode:
        """Start, serve, stop.

        Returns:
            The exit code for the process.

        Raises:
            OcrdError: It could not start, or cannot continue as configured.
        """
        self._last = threading.Timer(LAST_S, os._exit, [ExitCode.FAILED])
        self._last.daemon = True
        loop = asyncio.get_running_loop()  # signals are caught before anybody can see that it runs
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, lambda: self.stop(interrupted=True))
        loop.add_signal_handler(signal.SIGHUP, lambda: self._aside(self._reload()))
        house = build(
            self.config,
            self._events,
            self._engine,
            disk=self._disk,
            heed_hours=not self._once,
        )
        try:
            self._scheduler, self._call = house.scheduler, house.scheduler.parts.call
            return await self._serve(house)
        finally:
            closed = house.close()
            self.left_behind = not closed or bool(self._call.hanging(0.0))
            self._events.emit("daemon.stopped")
            self._events.remove(self.rates)
            self._last.cancel()

    def stop(self, *, interrupted: bool = False) -> None:
        """Drain and end; a second call ends without waiting for what is under way."""
        self._interrupted = self._interrupted or interrupted
        if self._stop.is_set() and not self._hurry.is_set():
            self._hurry.set()
            self._last.start()
        self._stop.set()

    # --- its course ---

    async def _serve(self, house: House) -> ExitCode:
        self._events.emit(
            "daemon.started", config=str(self.config.file), root=str(self.config.root)
        )
        for name in self.config.unknown_variables:
            self._events.warn("config.variable_unknown", variable=name)
        for name, reason in self._unserved.items():
            self._events.warn("folder.unserved", folder=name, hint=reason)
        self._serve_folders()
        self._know()
        unknown = await recover(self._scheduler)
        orphans = await take_in(self._scheduler, unknown, self._troubles)
        loop = asyncio.get_running_loop()
        self._inboxes = Inboxes(
            self._scheduler.parts.ledger,
            self._events,
            self.config.settings.watch,
            root=self.config.root,
            memory=self.config.spool / MEMORY,
            wake=lambda: loop.call_soon_threadsafe(self._scheduler.wake),
            awaits_content=not self._once,
        )
        self._scheduler.inboxes = self._inboxes
        self._follow()
        try:
            async with asyncio.TaskGroup() as tasks:
                loading = tasks.create_task(self._bring_up())
                running = [
                    tasks.create_task(kept_going(name, part, self._troubles, self._events))
                    for name, part in self._parts(orphans).items()
                ]
                running.append(tasks.create_task(self._hold(house)))
                over = self._worked_off() if self._once else self._stop.wait()
                await self._unless(self._stop, over)
                loading.cancel()  # an engine that is still coming up is not waited for
                await asyncio.wait({loading})
                await self._wind_down()
                for task in running:
                    task.cancel()
        except BaseExceptionGroup as failures:
            await self._wind_down()
            raise first_of(failures) from None
        if self._replaced is not None:
            raise self._replaced
        if self._interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.SOME_FAILED if self._once and self.rates.failed else ExitCode.OK

    def _parts(self, orphans: list[Orphan]) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """The parts that run concurrently as long as the daemon does, by name."""
        scheduler, parts = self._scheduler, self._scheduler.parts
        status = Status(
            lambda: self.config,
            scheduler,
            self._inboxes,
            self.rates,
            self._notifier,
            troubles=self._troubles,
            listeners=self._listeners,
        )
        keep_done_days = self.config.settings.ledger.keep_done_days
        retention = Retention(
            parts,
            lambda: scheduler.folders,
            keep_done_days=keep_done_days,
            troubles=self._troubles,
            ages=AgeClock(self.config.spool / CLOCK, disk=self._disk),
            disk=self._disk,
        )
        requests = Requests(scheduler, self._disk)
        indexing = Indexing(parts)
        return {
            "the scheduler": scheduler.run,
            "the status": status.run,
            "the watch over folders": partial(self._look_after, orphans),
            "the retention": retention.run,
            "the requests": requests.run,
            "the search index": indexing.run,
        }

    async def _hold(self, house: House) -> None:
        """Stop the daemon when its ledger or lock was deleted or replaced: another may have it."""
        lost = None
        while lost is None:
            await asyncio.sleep(HOLD_S)
            lost = await self._call(HELD, house.replaced)
        self._replaced = LedgerError(
            f"{display(lost)} was deleted or replaced while the daemon had it open",
            hint="Start the daemon again (its unit does): it makes anew what is missing, and takes "
            "up what lies in inboxes and spool.",
            kind="replaced",
        )
        self.stop()

    async def _wind_down(self) -> None:
        scheduler, drain_s = self._scheduler, self.config.settings.jobs.drain_s
        self._notifier.stopping()
        self._events.emit("daemon.stopping", running=scheduler.running)
        scheduler.stop()
        await self._unless(self._hurry, self._call("the inboxes", self._inboxes.stop))
        await self._unless(self._hurry, scheduler.drain(drain_s))
        for each in self._call.hanging(LOOK_S) if scheduler.running else ():
            self._events.warn("daemon.left_behind", place=each.place, calls=each.calls)
        self._call.abandon()
        await scheduler.let_go()
        ending = asyncio.create_task(self._scheduler.parts.engine.stop())
        if (await asyncio.wait({ending}, timeout=ENGINE_STOPS_S))[0]:
            ending.result()

    async def _unless(self, told: asyncio.Event, work: Awaitable[object]) -> None:
        """Wait until `work` is done, or until `told`: a first or second request to end."""
        task, over = asyncio.ensure_future(work), asyncio.create_task(told.wait())
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.result()

    # --- the engine ---

    async def _bring_up(self) -> None:
        """Start the engine; files are recorded meanwhile, and wait."""
        engine = self._scheduler.parts.engine
        # Other machines may be off for a night; our own engine will not start later either.
        last = repeat(ENGINE_RETRY_S[-1]) if engine.kind == "server" else (None,)
        for delay in chain(ENGINE_RETRY_S, last):
            try:
                self._events.emit("engine.loading", engine=engine.kind, model=engine.model)
                await engine.start(self._progress)
            except EngineDownError as error:
                if delay is None or self._once:
                    raise
                self._events.warn("engine.down", again_s=delay, **error.told())
                await asyncio.sleep(delay)
            else:
                break
        self._take(self.config)  # now the engine knows its model
        self._events.emit("engine.ready", engine=engine.kind, model=engine.model)
        self._up = True
        self._notifier.ready()
        self._scheduler.wake()

    def _progress(self, stage: str) -> None:
        self._events.emit("engine.progress", stage=stage)
        self._notifier.status(f"engine: {stage}")
        self._notifier.loading(START_S)

    # --- the configuration ---

    async def _look_after(self, orphans: list[Orphan]) -> None:
        """Follow implicit folders as they come and go; retry the orphans that wait for a folder."""
        while True:
            await asyncio.sleep(self.config.settings.watch.rescan_s)
            try:
                await self._renew(fresh_file=False)
            except OcrdError as error:
                self._events.warn("folders.unchanged", **error.told())
            orphans = await take_in(self._scheduler, orphans, self._troubles, again=True)

    async def _renew(self, *, fresh_file: bool) -> None:
        """Apply the configuration as it is now, read off the event loop: trees may not answer."""
        async with self._renewing:  # otherwise a slow call would undo a later one
            work = partial(reloaded, self.config, self._engine, fresh_file=fresh_file)
            self._take(await self._call(PLACE, work))
            self._know()

    def _know(self) -> None:
        """Resolve paths beneath the trees of the folders in force; mark each when it answers."""
        for tree in self._scheduler.parts.spool.know(self._scheduler.folders.values()):
            self._aside(self._mark(tree))

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task of its own."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _mark(self, tree: Path) -> None:
        try:
            await self._call(str(tree), self._scheduler.parts.spool.mark, tree)
        except OcrdError as error:
            if tree not in self._troubles.lost:
                self._events.warn("tree.lost", **error.told())
            self._troubles.lost[tree] = error
        else:
            self._troubles.lost.pop(tree, None)

    async def _reload(self) -> None:
        """On SIGHUP, take the new configuration, or keep the old one and report why.

        systemd takes READY for the end of the start, too, so we send nothing to it while the engine
        is still coming up.
        """
        if self._up:
            self._notifier.reloading()
        try:
            await self._renew(fresh_file=True)
        except OcrdError as error:
            self._troubles.refused = (error, time.time())
            self._events.error("daemon.reload_refused", **error.told())
        else:
            self._troubles.refused = None
            self._events.emit("daemon.reloaded", folders=len(self._scheduler.folders))
        if self._up:
            self._notifier.ready()

    def _take(self, config: Config) -> None:
        self.config = config
        self._unserved = check_modes(config, self._engine)
        self._serve_folders()
        self._follow()

    def _follow(self) -> None:
        known = [folder.inbox for folder in self.config.folders]
        self._inboxes.follow(self._scheduler.folders, known)

    def _serve_folders(self) -> None:
        self._scheduler.folders = {
            each.name: each for each in self.config.folders if each.name not in self._unserved
        }

    # --- `--once` ---

    async def _worked_off(self) -> None:
        """Return when no file is settling and no job is active.

        Raises:
            PlaceError: Everything that is left waits for a place that stays unavailable.
        """
        stuck_since, ledger = None, self._scheduler.parts.ledger
        while True:
            settled, watched = self._inboxes.settled(), self._scheduler.folders
            if settled and not self._scheduler.running:
                counts = await self._call(LEDGER, ledger.counts)
                if not any(state in ACTIVE and folder in watched for folder, state in counts):
                    return
            now = time.monotonic()
            waits = {**self._scheduler.paused.now, **self._scheduler.held.now}
            if not settled or not 0 < len(waits) >= self._scheduler.running:  # something moves
                stuck_since = None
            elif stuck_since is None:
                stuck_since = now
            elif now - stuck_since > STUCK_S:
                who, wait = next(iter(waits.items()))
                what = f"folder {who}" if isinstance(who, str) else f"job {who}"
                message = f"{what}: {wait.error.message}"
                raise PlaceError(message, hint=wait.error.hint, kind=wait.error.kind)
            await asyncio.sleep(LOOK_S)
