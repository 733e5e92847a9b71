"""A resident pool of confined child processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar, cast

from ocrd.children.child import Answer, begin
from ocrd.children.confine import Confinement, Limits
from ocrd.children.process import Child
from ocrd.children.wire import BadAnswerError
from ocrd.errors import EngineDownError, MemoryShortError, PageFaultError

T = TypeVar("T")

AGAIN_S = 10.0  # from one failure to come up to the next try, where nobody asks while it is down
_START_S = 60.0  # a child that is not ready by then never will be
_START_CPU_S = 60
_HINTS = {
    "crashed": "A damaged or hostile file can do this; the file is at fault if it happens again.",
    "timed-out": "Allow more time a page in the configuration, or save the file anew.",
    "no-children": "Look for too little memory or too low a limit on processes (`ocrd doctor`).",
    "stopped": "The daemon is shutting down; the page is read at its next start.",
}


class ChildPool:
    """Runs calls in child processes, one at a time in each.

    Children stay for many calls.  One that died, was stopped or has served long enough is reaped
    before its place is taken, so that a burst of failures never has more than `processes` of them.
    To be used from one event loop, whose thread must outlive the children: the kernel ends a
    child together with the thread that started it.

    Args:
        name: What errors call a child (`page worker`).
        processes: How many children, so how many calls at once; further calls wait their turn.
        limits: What each child may use.
        max_tasks: A child is replaced after so many calls, so that leaks end with it.
        preload: Modules a child imports before its first call.
        threads: What numerical libraries are told to use; they choose if None.
        readable: Files and folders children may read, besides the system's and Python's own.
        writable: Folders they may write below.  Both are enforced where the kernel has Landlock
            (see `rights`); what does not exist when a child starts stays closed to it.
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
        threads: int | None = None,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.processes = processes
        self.limits = limits
        self._max_tasks = max_tasks
        self._threads = threads
        confinement = Confinement(
            limits=limits, readable=tuple(readable), writable=tuple(writable), parent=os.getpid()
        )
        self._orders = (confinement, tuple(preload))
        self._idle: list[Child] = []  # in the order they were used
        self._places = asyncio.Semaphore(processes)
        self._children: set[Child] = set()
        self._reaping: set[asyncio.Task[int]] = set()
        self._warming: set[asyncio.Task[None]] = set()
        self._failed_starts = 0  # in a row
        self._failed_at = 0.0
        self._clock = clock
        self._stopped = False

    async def run(
        self,
        call: Callable[..., T],
        *args: object,
        wall_s: float | None = None,
        fresh: bool = False,
    ) -> T:
        """Run `call(*args)` in a child.

        `call` travels by module and name, `args` as any pickle.  What comes back may hold plain
        values and this package's dataclasses and enumerations, nothing else.  Cancelling kills
        the child.

        Args:
            call: What to run.
            args: Its arguments.
            wall_s: Seconds it may take once a child has it; the pool's limit if None.
            fresh: Give it to a child that has done nothing yet: for a second try.

        Raises:
            OcrdError: As the call raised it.
            PageFaultError: The call broke its child.  Kind `crashed`: it died; `timed-out`: it took
                too long, by the clock or in CPU time, and was killed; `out-of-memory`: it needed
                more than its limit (whether that is the file's fault is the caller's to decide,
                perhaps after another try alone); `unexpected`: the call raised something else.
            MemoryShortError: The kernel ended the child, as the machine or the service's cgroup had
                too little memory; not the call's fault.
            EngineDownError: Not the call's fault.  Kind `no-children`: no child comes up;
                `stopped`: the pool was stopped.
        """
        async with self._places:
            child = await self._child(fresh=fresh)
            kept = False
            try:
                answer = await self._ask(child, call, args, wall_s or self.limits.wall_s)
                kept = _sound(answer) and child.served < self._max_tasks and not self._stopped
            finally:
                if kept:
                    self._idle.append(child)
                else:
                    await self._end(child)
        if answer.error is not None:
            answer.error.add_note(answer.told)
            raise answer.error
        return cast(T, answer.value)

    def warm(self, count: int) -> None:
        """Have so many children ready soon, as far as the pool goes: there will be calls."""
        missing = min(count, self.processes) - len(self._children) - len(self._warming)
        if missing <= 0 or self._stopped or self._failed_starts:  # who calls is told why
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
        """Whether it serves: not stopped, and children could be started lately.

        After a while it may be tried again: who waits until it serves would else wait for ever.
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

    async def _child(self, *, fresh: bool) -> Child:
        """An idle child that lives, else a new one."""
        if self._stopped:
            raise self._was_stopped()
        while self._idle and not (fresh and len(self._children) < self.processes):
            child = self._idle.pop(0 if fresh else -1)  # the last one used is warm
            if child.alive() and not fresh:
                return child
            await self._end(child)
        return await self._new()

    async def _new(self) -> Child:
        """A new child; how many could not be started in a row is counted."""
        try:
            child = await self._start_patiently()
        except EngineDownError:
            self._failed_starts += 1
            self._failed_at = self._clock()
            raise
        self._failed_starts = 0
        return child

    async def _start_patiently(self) -> Child:
        try:
            return await self._start()
        except EngineDownError:  # killed while it came up, perhaps: the next one need not be
            if self._stopped:
                raise
        return await self._start()

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
        ready = False
        try:
            async with asyncio.timeout(_START_S):
                answer = await child.call(begin, self._orders, cpu_s=_START_CPU_S)
            ready = answer.error is None
        except (EOFError, BadAnswerError, TimeoutError) as error:
            if self._stopped:
                raise self._was_stopped() from error
            raise _down(f"A {self.name} did not come up: {error!r}.") from error
        finally:
            if not ready:
                await self._end(child)
        if answer.error is not None:
            raise _down(f"A {self.name} did not come up: {answer.error}.") from answer.error

    async def _ask(
        self, child: Child, call: Callable[..., object], args: tuple[object, ...], wall_s: float
    ) -> Answer:
        killed = memory_kills()
        try:
            async with asyncio.timeout(wall_s):
                return await child.call(call, args, cpu_s=self.limits.cpu_s)
        except TimeoutError:
            self._blame("timed-out", f"took longer than {wall_s:g} s and was killed")
        except EOFError:
            if self._stopped:
                raise self._was_stopped() from None
            code = await asyncio.to_thread(child.reap)
            if code == -signal.SIGKILL and memory_kills() > killed:
                raise self._memory_ran_out() from None
            self._blame(*_obituary(code))
        except BadAnswerError as error:
            self._blame("crashed", f"gave an answer that is none ({error})")
        except OSError as error:
            raise _down(f"No page could be given to a {self.name}: {error}.") from error

    def _was_stopped(self) -> EngineDownError:
        return _down(f"The {self.name}s were stopped.", kind="stopped")

    def _memory_ran_out(self) -> MemoryShortError:
        return MemoryShortError(
            f"The system ended a {self.name}, as there was too little memory left.",
            hint="Give the machine (or the service: MemoryMax=) more memory, or let fewer pages be "
            "worked on at once: `workers` under [pages].  It is tried again by itself.",
        )

    def _blame(self, kind: str, what: str) -> NoReturn:
        message = f"The {self.name} {what}."
        raise PageFaultError(message, hint=_HINTS[kind], kind=kind) from None

    async def _end(self, child: Child) -> None:
        """Kill and reap a child; a cancelled caller does not wait, the child ends all the same."""
        child.kill()
        task = asyncio.create_task(asyncio.to_thread(child.reap))
        task.add_done_callback(lambda _: self._forget(child))
        self._reaping.add(task)
        task.add_done_callback(self._reaping.discard)
        await asyncio.shield(task)

    def _forget(self, child: Child) -> None:
        child.close()
        self._children.discard(child)


def memory_kills() -> int:
    """How many processes the kernel has ended so far for want of memory, in whichever cgroup."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _sound(answer: Answer) -> bool:
    """Whether the child can be used again: a library that ran out of memory may be half-broken."""
    return answer.error is None or answer.error.kind != "out-of-memory"


def _obituary(code: int) -> tuple[str, str]:
    """Kind and words for an exit code."""
    if code == -signal.SIGXCPU:
        return "timed-out", "used up its CPU time and was killed"
    if code < 0:
        return "crashed", f"died of {signal.Signals(-code).name}"
    return "crashed", f"ended with status {code}"


def _down(message: str, *, kind: str = "no-children") -> EngineDownError:
    return EngineDownError(message, hint=_HINTS[kind], kind=kind)
