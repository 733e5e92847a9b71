"""A resident pool of confined child processes, one call at a time in each.

Every child is a `pebble.ProcessPool` of one: pebble's workers share a pipe and its locks, so a
child killed while it sends would take its siblings with it.  A child that died, was stopped or
has served long enough is thrown away with its pool, and the next call gets a fresh one.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from pebble import ProcessExpired, ProcessPool

from ocrd.children.confine import Confinement, Limits, start_cpu_budget
from ocrd.errors import OcrdError, PageFaultError

T = TypeVar("T")

_START_S = 60.0  # a child that has not reported by then never will

_preloaded: set[str] = set()
_preloaded_lock = threading.Lock()


class ChildPool:
    """Runs calls in confined children.  Used from one event loop.

    Args:
        name: What errors call its children (`page worker`).
        processes: How many children, so how many calls at once; more calls wait their turn.
        limits: What each child may use.
        max_tasks: A child is replaced after so many calls, so that leaks end with it.
        preload: Modules to import before the first call.  The fork server imports them once if
            they are named before any pool of the process has started a child; else each child
            does.
        threads: What numerical libraries imported in the child are told to use.
        readable: Files and folders, besides the system's and Python's own, children may read.
        writable: Folders they may write below.  Both are enforced where the kernel has Landlock
            (see `rights`); what does not exist when a child starts stays closed to it.
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
    ) -> None:
        self.name = name
        self.processes = processes
        self.limits = limits
        self._max_tasks = max_tasks
        self._preload = tuple(preload)
        self._confinement = Confinement(
            limits=limits, readable=tuple(readable), writable=tuple(writable), threads=threads
        )
        self._context = _fork_server(preload)
        self._children = tuple(_Child() for _ in range(processes))
        self._free: asyncio.LifoQueue[_Child] = asyncio.LifoQueue()  # the last one used is warm
        for child in self._children:
            self._free.put_nowait(child)
        self._recycling: set[asyncio.Task[None]] = set()
        self._start_failures = 0
        self._stopped = False

    async def run(self, call: Callable[..., T], *args: object, wall_s: float | None = None) -> T:
        """Run `call(*args)` in a child.

        Both must be picklable, `call` by its module and name, and so must what it returns.
        Cancelling ends the child at once.

        Args:
            call: What to run.
            args: Its arguments.
            wall_s: Seconds it may take once a child has it; the pool's limit if None.

        Raises:
            OcrdError: As the call raised it.
            PageFaultError: The child's fault.  Kind `crashed`: it died; `timed-out`: it took too
                long, on the clock or in CPU time, and was killed; `out-of-memory`: it needed more
                than its limit (the caller decides whether that is the file's fault, perhaps after
                trying once more alone); `unexpected`: the call raised something else, whose
                traceback is a note on the error; `stopped`: the pool was.
        """
        child = await self._free.get()
        kept = False
        try:
            value = await self._run_in(child, call, args, wall_s or self.limits.wall_s)
            kept = child.served < self._max_tasks
        except _Sound as sound:
            kept = child.served < self._max_tasks
            raise sound.error from None
        finally:
            self._release(child, kept=kept and not self._stopped)
        return value

    def alive(self) -> bool:
        """Whether it serves: not stopped, and its children could be started lately."""
        return not self._stopped and self._start_failures <= self.processes

    def stop(self) -> None:
        """Kill all children; calls in flight fail with kind `stopped`.  Blocks for about 0.2 s."""
        self._stopped = True
        for child in self._children:
            child.halt()
        for child in self._children:
            child.join()

    async def _run_in(
        self, child: _Child, call: Callable[..., T], args: tuple[object, ...], wall_s: float
    ) -> T:
        await self._ensure(child)
        child.served += 1
        payload = (call, args, self.limits.cpu_s)
        try:
            async with asyncio.timeout(wall_s):
                outcome = await child.schedule(_serve, *payload)
        except TimeoutError:
            self._fail("timed-out", f"took longer than {wall_s:g} s and was stopped")
        except ProcessExpired as death:
            self._fail(*_obituary(death.exitcode))
        except (RuntimeError, asyncio.CancelledError) as error:
            self._explain(error)
        if isinstance(outcome, _Failure):
            failure = outcome.rebuilt()
            if failure.kind == "out-of-memory":
                raise failure  # what the library left half-done is not to be trusted
            raise _Sound(failure)
        return cast(T, outcome)

    async def _ensure(self, child: _Child) -> None:
        """A live child in the slot."""
        if self._stopped:
            self._fail("stopped", "was stopped")
        if child.serving():
            return
        try:
            async with asyncio.timeout(_START_S):
                await child.start(self._context, self._confinement, self._preload)
        except (OSError, RuntimeError, ProcessExpired, TimeoutError) as error:
            self._start_failures += 1
            self._fail("crashed", f"could not be started ({error!r})")
        self._start_failures = 0

    def _explain(self, error: BaseException) -> NoReturn:
        if self._stopped:
            self._fail("stopped", "was stopped")
        if isinstance(error, asyncio.CancelledError):
            raise error
        self._fail("crashed", "died")

    def _fail(self, kind: str, what: str) -> NoReturn:
        raise PageFaultError(f"The {self.name} {what}.", hint=_HINTS[kind], kind=kind)

    def _release(self, child: _Child, *, kept: bool) -> None:
        if kept:
            self._free.put_nowait(child)
            return
        task = asyncio.get_running_loop().create_task(self._recycle(child))
        self._recycling.add(task)
        task.add_done_callback(self._recycling.discard)

    async def _recycle(self, child: _Child) -> None:
        """End the child before its slot is used again: a burst of failures stays bounded."""
        child.halt()
        await asyncio.to_thread(child.join)
        self._free.put_nowait(child)


@dataclass(slots=True, eq=False)
class _Child:
    """One slot of the pool: a pebble pool of one process, or none yet."""

    pool: ProcessPool | None = None
    served: int = 0
    future: Future[Any] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serving(self) -> bool:
        """Whether a child is there and alive (an idle one that was killed is not)."""
        return self.pool is not None and self.pool.active

    async def start(
        self, context: ForkServerContext, confinement: Confinement, preload: tuple[str, ...]
    ) -> None:
        """Start a child and wait until it is confined and ready."""
        self.halt()
        await asyncio.to_thread(self.join)
        pool = self.pool = ProcessPool(
            max_workers=1, initializer=_begin, initargs=(confinement, preload), context=context
        )
        self.served = 0
        await asyncio.to_thread(lambda: pool.active)  # starts it: blocks on the fork server
        await self.schedule(_ready)

    def schedule(self, call: Callable[..., object], *args: object) -> asyncio.Future[Any]:
        """Give it a call."""
        if self.pool is None:
            raise RuntimeError("stopped")
        self.future = self.pool.schedule(call, args=args)
        return asyncio.wrap_future(self.future)

    def halt(self) -> None:
        """Ask its pool to end, without waiting; what it was doing is cancelled."""
        if self.pool is not None:
            cast(Any, self.pool).stop()  # pebble leaves it without annotations
        if self.future is not None:
            self.future.cancel()

    def join(self) -> None:
        """Wait for the end; the child is dead and reaped then."""
        with self.lock:
            pool, self.pool = self.pool, None
        if pool is not None:
            pool.join()


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error on its way home, its traceback as text."""

    error: OcrdError
    told: str

    def rebuilt(self) -> OcrdError:
        self.error.add_note(self.told)
        return self.error


class _Sound(Exception):  # noqa: N818 - not an error: it carries one out of a child that is fine
    def __init__(self, error: OcrdError) -> None:
        super().__init__()
        self.error = error


def _serve(call: Callable[..., object], args: tuple[object, ...], cpu_s: int) -> object:
    """In the child: run a call, and turn whatever it raises into what the daemon knows."""
    start_cpu_budget(cpu_s)
    try:
        return call(*args)
    except OcrdError as error:
        return _Failure(error, traceback.format_exc())
    except MemoryError:
        message = "More memory was needed than a child may use."
        fault = PageFaultError(message, hint=_HINTS["out-of-memory"], kind="out-of-memory")
        return _Failure(fault, traceback.format_exc())
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        fault = PageFaultError(message, hint=_HINTS["unexpected"], kind="unexpected")
        return _Failure(fault, traceback.format_exc())


def _begin(confinement: Confinement, preload: tuple[str, ...]) -> None:
    """In the child, first thing: import what it needs, give up the rest."""
    confinement.apply()
    for module in preload:
        importlib.import_module(module)


def _ready() -> None:
    """In the child: answering at all is the answer."""


def _fork_server(preload: Iterable[str]) -> ForkServerContext:
    """The process's one fork server: forking a daemon that has threads could deadlock."""
    context = multiprocessing.get_context("forkserver")
    with _preloaded_lock:
        _preloaded.update(preload, ("ocrd.children.pool",))
        context.set_forkserver_preload(sorted(_preloaded))
    return context


def _obituary(code: int) -> tuple[str, str]:
    """Kind and words for a child's exit code."""
    if code == -signal.SIGXCPU:
        return "timed-out", "used up its CPU time and was stopped"
    if code < 0:
        return "crashed", f"died of {signal.Signals(-code).name}"
    return "crashed", f"ended with status {code}"


_HINTS = {
    "crashed": "A damaged or hostile file can do this; it is tried again, then set aside.",
    "timed-out": "Give pages more time in the configuration, or split or re-save the file.",
    "out-of-memory": "Allow page workers more memory in the configuration, or scan at fewer dpi.",
    "unexpected": "This is likely a bug in ocrd or a library it uses: please report it.",
    "stopped": "The daemon is shutting down; the page is read at its next start.",
}
