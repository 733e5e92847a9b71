"""A resident pool of confined child processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from ocrd.children.child import Failure, begin
from ocrd.children.confine import Confinement, Limits, Scope
from ocrd.children.process import Child
from ocrd.children.wire import BadAnswerError, name_of
from ocrd.errors import EngineDownError, PageFaultError

T = TypeVar("T")

AGAIN_S = 10.0  # from a failed start until `alive` is true again, for which callers may wait
LOOK_S = 1.0  # a child killed within this of an out-of-memory kill counts as killed for memory
_START_S = 60.0  # a child that is not ready by then never will be
_START_CPU_S = 60
_NO_MEMORY = "The kernel killed a {}: there was no memory left."
_HINTS = {
    "killed": "Whoever ended it knows why (`journalctl -k`); the page is tried again.",
    "no-memory": "Give the machine, or the service (MemoryMax=), more memory, or run fewer workers "
    "at once (`pages.workers`, `engine.workers`); work goes on by itself.",
    "crashed": "A damaged or hostile file can do this; the file is at fault if it happens again.",
    "timed-out": "Allow more time a page in the configuration, or save the file anew.",
    "no-children": "Look for too little memory, or too low a limit on processes or on open files "
    "(`ocrd doctor`; TasksMax= and LimitNOFILE= of the service).",
    "stopped": "The daemon is shutting down; the page is read at its next start.",
}


class ChildPool:
    """Runs calls in child processes, one at a time in each.

    Children stay for many calls.  A child that died, was stopped or has served long enough is
    reaped before another takes its place, so that even in a burst of failures there are never more
    than `processes`.  Use it from one event loop, whose thread must outlive the children: the
    kernel ends a child together with the thread that started it.

    Args:
        name: What errors call a child (`page worker`).
        processes: How many children, so how many calls at once; further calls wait their turn.
        limits: What each child may use.
        max_tasks: Calls after which the process that makes them is replaced, so that leaks end.
        preload: Modules a child imports before its first call.
        calls: Functions it will mostly call, prepared once in the child and not in each servant.
        threads: Threads that numerical libraries are told to use; they choose if None.
        resident: Children make all calls themselves and keep what they load; they may use no
            files but the system's and Python's.  Otherwise each scope has a process of its own.
        clock: A clock that never goes back, seconds.
    """

    def __init__(
        self,
        *,
        name: str,
        processes: int,
        limits: Limits,
        max_tasks: int = 200,
        preload: Sequence[str] = (),
        calls: Sequence[Callable[..., object]] = (),
        threads: int | None = None,
        resident: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.processes = processes
        self.limits = limits
        self._max_tasks = max_tasks
        self._threads = threads
        self._resident = resident
        confinement = Confinement(limits=limits, parent=os.getpid(), resident=resident)
        self._orders = (confinement, tuple(preload), tuple(map(name_of, calls)))
        self._idle: list[Child] = []  # in the order they were used
        self._places = asyncio.Semaphore(processes)
        self._children: set[Child] = set()
        self._reaping: set[asyncio.Task[int]] = set()
        self._warming: set[asyncio.Task[None]] = set()
        self._failed_starts = 0  # in a row
        self._failed_at = 0.0
        self._clock = clock
        self._stopped = False
        self._kills = 0  # out-of-memory kills counted at the last look
        self._looked_at = -LOOK_S

    async def run(
        self,
        function: Callable[..., T],
        *args: object,
        wall_s: float | None = None,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
    ) -> T:
        """Run `function(*args)` in a child.

        The function is sent by module and name.  Arguments and value are plain data, or
        dataclasses and enumerations of plain data, of the types that the function declares.
        Cancelling kills the child.

        Once a child has the call, it may take `wall_s` seconds (the pool's limit if None), read
        the files and folders of `readable`, besides the system's and Python's own, and write below
        those of `writable`.  They must exist; the limits on files are enforced if the kernel has
        Landlock (see `missing`).  Unless the pool is resident, only calls that read the same files
        and write nothing may share a process.

        Raises:
            OcrdError: As the call raised it; an error of the disk as `oserrors.os_error` gives it.
            PageFaultError: The call broke its child.  Kind `crashed`: it died; `killed`: it was
                killed from outside; `timed-out`: it took too long, by the clock or in CPU time;
                `out-of-memory`: it needed more than its limit (whether that is the file's fault is
                the caller's to decide, perhaps after another try alone); `unexpected`: the call
                raised something else.
            EngineDownError: Not the call's fault.  Kind `no-children`: no child could be started;
                `no-memory`: the machine (or the service's limit) had none left, and the kernel
                killed the child; `stopped`: the pool was stopped.
        """
        scope = Scope.of(readable, writable)
        async with self._places:
            child = await self._child(scope)
            kept = False
            try:
                given = await self._ask(child, function, args, scope, wall_s or self.limits.wall_s)
                # a library that ran out of memory may be half-broken
                broken = isinstance(given, Failure) and given.kind == "out-of-memory"
                worn = self._resident and child.served >= self._max_tasks
                kept = not (broken or worn or self._stopped)
            finally:
                if kept:
                    self._idle.append(child)
                else:
                    await self._end(child)
        if isinstance(given, Failure):
            raise given.rebuilt(scope)
        return given

    def warm(self, count: int) -> None:
        """Start children for calls to come, so that soon there are `count`, or all of the pool."""
        missing = min(count, self.processes) - len(self._children) - len(self._warming)
        if missing <= 0 or self._stopped or self._failed_starts:  # a call will say why
            return
        for _ in range(missing):
            task = asyncio.create_task(self._warm_one())
            self._warming.add(task)
            task.add_done_callback(self._warming.discard)

    async def _warm_one(self) -> None:
        async with self._places:
            if self._stopped or len(self._children) >= self.processes:
                return
            with contextlib.suppress(EngineDownError):
                self._idle.append(await self._new())

    def alive(self) -> bool:
        """Whether the pool serves: not stopped, and children could be started lately.

        `AGAIN_S` after a failure it counts as alive again, because a caller that waits for that
        would otherwise wait for ever.
        """
        down = self._failed_starts > self.processes and self._clock() - self._failed_at < AGAIN_S
        return not (self._stopped or down)

    def stop(self) -> None:
        """Kill and reap all children; calls in flight fail with kind `stopped`."""
        self._stopped = True
        for child in self._children:
            child.kill()
        for child in self._children:
            child.reap()
        for child in self._idle:
            child.close()
        self._idle.clear()

    async def _child(self, scope: Scope) -> Child:
        """A living child for calls of this scope."""
        if self._stopped:
            raise self._was_stopped()
        while self._idle:  # one of this scope, otherwise one of none, otherwise the first
            scopes = [child.scope for child in self._idle]
            best = next((scopes.index(each) for each in (scope, None) if each in scopes), 0)
            child = self._idle.pop(best)
            if child.alive():
                return child
            await self._end(child)
        return await self._new()

    async def _new(self) -> Child:
        """Start a child, and count failures in a row."""
        try:
            try:
                child = await self._start()
            except EngineDownError:  # perhaps it was killed as it started; the next may not be
                if self._stopped:
                    raise
                child = await self._start()
        except EngineDownError:
            self._failed_starts += 1
            self._failed_at = self._clock()
            raise
        self._failed_starts = 0
        return child

    async def _start(self) -> Child:
        """A new child, confined and ready."""
        try:
            child = Child(threads=self._threads)
            self._children.add(child)
            await self._prepare(child)
        except OSError as error:
            raise _down(f"No {self.name} could be started: {error}.") from error
        return child

    async def _prepare(self, child: Child) -> None:
        failure: object = self  # until it has answered
        try:
            async with asyncio.timeout(_START_S):
                failure = await child.call(begin, self._orders, cpu_s=_START_CPU_S, scope=Scope())
        except (EOFError, BadAnswerError, TimeoutError) as error:
            if self._stopped:
                raise self._was_stopped() from error
            raise _down(f"A {self.name} did not come up: {error!r}.") from error
        finally:
            if failure is not None:
                await self._end(child)
        if isinstance(failure, Failure):
            raise _down(f"A {self.name} did not come up: {failure.message}")
        if not self._resident:
            child.scope = None

    async def _ask(
        self,
        child: Child,
        function: Callable[..., T],
        args: tuple[object, ...],
        scope: Scope,
        wall_s: float,
    ) -> T | Failure:
        kills = self._kills_so_far()
        try:
            async with asyncio.timeout(wall_s):
                await self._admit(child, scope)
                return await child.call(function, args, cpu_s=self.limits.cpu_s, scope=scope)
        except TimeoutError:
            self._blame("timed-out", f"took longer than {wall_s:g} s and was killed")
        except EOFError:
            if self._stopped:
                raise self._was_stopped() from None
            code = await asyncio.to_thread(child.reap)
            if code == -signal.SIGKILL and _oom_kills() > kills:
                raise _down(_NO_MEMORY.format(self.name), kind="no-memory") from None
            self._blame(*_obituary(code))
        except BadAnswerError as error:
            self._blame("crashed", f"gave an answer that is none ({error})")
        except OSError as error:
            raise _down(f"No page could be given to a {self.name}: {error}.") from error

    def _kills_so_far(self) -> int:
        """The kernel's count of out-of-memory kills, at most `LOOK_S` old."""
        if self._clock() - self._looked_at >= LOOK_S:
            self._looked_at, self._kills = self._clock(), _oom_kills()
        return self._kills

    async def _admit(self, child: Child, scope: Scope) -> None:
        """Have a new process make the calls of another scope, and at times those of the same."""
        same = child.scope == scope and not scope.writable  # a folder may have been re-created
        if self._resident or (same and child.served % self._max_tasks):
            return
        try:
            await child.renew()
        except EOFError:
            if self._stopped:
                raise
            raise _down(f"A {self.name} could not start another process.") from None

    def _was_stopped(self) -> EngineDownError:
        return _down(f"The {self.name}s were stopped.", kind="stopped")

    def _blame(self, kind: str, what: str) -> NoReturn:
        message = f"The {self.name} {what}."
        raise PageFaultError(message, hint=_HINTS[kind], kind=kind) from None

    async def _end(self, child: Child) -> None:
        """Kill and reap a child; if the caller is cancelled, the child ends all the same."""

        def ended(task: asyncio.Task[int]) -> None:
            child.close()
            self._children.discard(child)
            self._reaping.discard(task)

        child.kill()
        task = asyncio.create_task(asyncio.to_thread(child.reap))
        self._reaping.add(task)
        task.add_done_callback(ended)
        await asyncio.shield(task)


def _obituary(code: int) -> tuple[str, str]:
    """The error kind and wording for an exit code."""
    if code == -signal.SIGXCPU:
        return "timed-out", "used up its CPU time and was killed"
    if code == -signal.SIGKILL:
        return "killed", "was killed"
    if code < 0:
        return "crashed", f"died of {signal.Signals(-code).name}"
    return "crashed", f"ended with status {code}"


def _down(message: str, *, kind: str = "no-children") -> EngineDownError:
    return EngineDownError(message, hint=_HINTS[kind], kind=kind)


def _oom_kills() -> int:
    """The number of out-of-memory kills since the machine started, those in cgroups included."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
