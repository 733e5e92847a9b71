"""The daemon's life: start in order, run until told to stop, stop in reverse."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence
from functools import partial

from ocrd.config import Config, Folder
from ocrd.daemon.engines import build_engine, check_modes
from ocrd.daemon.hours import Hours
from ocrd.daemon.once import Once
from ocrd.daemon.parts import House, MakePages, build
from ocrd.daemon.rates import Rates
from ocrd.daemon.recover import recover, take_in
from ocrd.daemon.reload import reloaded
from ocrd.daemon.retention import Retention
from ocrd.daemon.telling import Listener, Telling
from ocrd.engine.base import Engine
from ocrd.errors import EngineDownError, ExitCode, OcrdError, first_of
from ocrd.events import Events
from ocrd.files import Disk
from ocrd.inbox.inboxes import MEMORY, Inboxes
from ocrd.observe.notifier import NoNotifier, Notifier
from ocrd.spool.orphans import Orphan

ENGINE_RETRY_S = (5.0, 15.0, 60.0)
START_S = 120.0  # a stage of the engine's start may take so long between two words of progress


class Daemon:
    """A configuration, running.

    Args:
        config: What to run.
        events: Is told what happens.
        once: Work off what lies in the inboxes now, then end.
        notifier: Who supervises; nobody by default.
        engine: Reads the pages; chosen by the configuration by default.
        disk: The system calls of every move.
        make_pages: Makes what page images come from; `parts.page_source` by default.
        listeners: Are handed, once a second, what is known of the daemon.
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
        make_pages: MakePages | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.config = config
        self.rates = Rates()
        self._events = events
        self._once = once
        self._notifier = notifier or NoNotifier()
        self._engine = engine or build_engine(config, events)
        self._disk = disk
        self._make_pages = make_pages
        self._listeners = listeners
        self._unserved = check_modes(config, self._engine)
        self._folders = self._served(config)
        self._hours = Hours(time.time, heed=not once)
        self._renewing = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._interrupted = False
        self._up = False  # the engine has been ready
        self._inboxes: Inboxes | None = None
        events.add(self.rates)

    async def run(self) -> ExitCode:
        """Start, serve, stop.

        Returns:
            What the process should tell its caller.

        Raises:
            OcrdError: It could not start, or cannot go on as configured.
        """
        self._catch_signals()  # before anybody can see that it runs
        house = build(
            self.config,
            self._events,
            self._engine,
            disk=self._disk,
            make_pages=self._make_pages,
            folders=lambda: self._folders,
            closed=self._closed,
            look_again=self._look_again,
        )
        try:
            return await self._serve(house)
        finally:
            house.close()
            self._events.emit("daemon.stopped")
            self._events.remove(self.rates)

    def stop(self, *, interrupted: bool = False) -> None:
        """Drain and end."""
        self._interrupted = interrupted
        self._stop.set()

    async def _serve(self, house: House) -> ExitCode:
        self._events.emit(
            "daemon.started", config=str(self.config.file), root=str(self.config.root)
        )
        for name, reason in self._unserved.items():
            self._events.warn("folder.unserved", folder=name, hint=reason)
        orphans = await recover(house, self._events)
        orphans = await take_in(house, orphans, self._folders, self._events)
        loop = asyncio.get_running_loop()
        inboxes = Inboxes(
            house.ledger,
            self._events,
            self.config.settings.watch,
            root=self.config.root,
            memory=self.config.spool / MEMORY,
            wake=lambda: loop.call_soon_threadsafe(house.dispatcher.wake),
            awaits_content=not self._once,
        )
        inboxes.follow(self._folders, [folder.inbox for folder in self.config.folders])
        self._inboxes = inboxes
        telling = Telling(
            self.config,
            house,
            inboxes,
            self.rates,
            self._notifier,
            hours=self._hours,
            listeners=self._listeners,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                loading = tasks.create_task(self._bring_up(house))
                running = [
                    tasks.create_task(house.dispatcher.run()),
                    tasks.create_task(telling.run(lambda: self._folders)),
                    tasks.create_task(self._look_after(house, orphans)),
                    tasks.create_task(self._retention(house).run()),
                ]
                await self._until_over(house, inboxes)
                loading.cancel()  # an engine that is still coming up is not waited for
                await asyncio.wait({loading})
                await self._wind_down(house, inboxes)
                for task in running:
                    task.cancel()
        except BaseExceptionGroup as failures:
            await self._wind_down(house, inboxes)
            raise first_of(failures) from None
        return self._exit_code()

    async def _until_over(self, house: House, inboxes: Inboxes) -> None:
        """Until a signal, or with `once` until nothing is left to do."""
        stop = asyncio.create_task(self._stop.wait())
        if self._once:
            over = asyncio.create_task(Once(house, inboxes).over())
            await asyncio.wait({stop, over}, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                over.result()  # raises when it gave up
            over.cancel()
        else:
            await stop
        stop.cancel()

    async def _wind_down(self, house: House, inboxes: Inboxes) -> None:
        self._notifier.stopping()
        self._events.emit("daemon.stopping", running=house.dispatcher.running)
        inboxes.stop()
        house.dispatcher.stop()
        await house.dispatcher.drain(self.config.settings.jobs.drain_s)
        await house.engine.stop()

    def _retention(self, house: House) -> Retention:
        return Retention(
            house,
            lambda: self._folders,
            keep_done_days=self.config.settings.ledger.keep_done_days,
            events=self._events,
            disk=self._disk,
        )

    def _exit_code(self) -> ExitCode:
        if self._interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.SOME_FAILED if self._once and self.rates.failed else ExitCode.OK

    async def _bring_up(self, house: House) -> None:
        """Start the engine; files are recorded meanwhile, and wait."""
        engine = house.engine
        for delay in (*ENGINE_RETRY_S, None):
            try:
                self._events.emit("engine.loading", engine=engine.kind, model=engine.model)
                await engine.start(self._progress)
            except EngineDownError as error:
                if delay is None or self._once:
                    raise
                why = {"error": error.message, "hint": error.hint}
                self._events.warn("engine.down", again_s=delay, **why)
                await asyncio.sleep(delay)
            else:
                break
        self._take(self.config)  # now the engine knows its model
        self._events.emit("engine.ready", engine=engine.kind, model=engine.model)
        self._up = True
        self._notifier.ready()
        house.dispatcher.wake()

    def _progress(self, stage: str) -> None:
        self._events.emit("engine.progress", stage=stage)
        self._notifier.status(f"engine: {stage}")
        self._notifier.loading(START_S)

    async def _look_after(self, house: House, orphans: list[Orphan]) -> None:
        """Take up and drop implicit folders as they come and go, and what waits for a folder."""
        while True:
            await asyncio.sleep(self.config.settings.watch.rescan_s)
            try:
                await self._renew(fresh_file=False)
            except OcrdError as error:
                self._events.warn("folders.unchanged", error=error.message, hint=error.hint)
            orphans = await take_in(house, orphans, self._folders, self._events, again=True)

    async def _renew(self, *, fresh_file: bool) -> None:
        """Take the configuration as it is now; off the event loop, as its trees may not answer."""
        async with self._renewing:  # else one that was slow would undo a later one
            work = partial(reloaded, self.config, self._engine, fresh_file=fresh_file)
            self._take(await asyncio.to_thread(work))

    async def _reload(self) -> None:
        """SIGHUP: a new configuration, or the old one and a reason.

        systemd takes READY for the end of the start, too: while the engine is still coming up, it
        is told nothing.
        """
        if self._up:
            self._notifier.reloading()
        try:
            await self._renew(fresh_file=True)
        except OcrdError as error:
            self._events.error("daemon.reload_refused", error=error.message, hint=error.hint)
        else:
            self._events.emit("daemon.reloaded", folders=len(self._folders))
        if self._up:
            self._notifier.ready()

    def _reload_soon(self) -> None:
        task = asyncio.create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def _take(self, config: Config) -> None:
        self.config = config
        self._unserved = check_modes(config, self._engine)
        self._folders = self._served(config)
        if self._inboxes is not None:
            self._inboxes.follow(self._folders, [folder.inbox for folder in config.folders])

    def _look_again(self, folder: str, source: str) -> None:
        if self._inboxes is not None:
            self._inboxes.hint(folder, source)

    def _closed(self) -> set[str]:
        """Folders of which nothing may begin now: no inbox to be seen, or not their time."""
        unseen = self._inboxes.closed() if self._inboxes else set()
        return unseen | self._hours.closed(self._folders.values())

    def _served(self, config: Config) -> Mapping[str, Folder]:
        return {
            folder.name: folder for folder in config.folders if folder.name not in self._unserved
        }

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, lambda: self.stop(interrupted=True))
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
