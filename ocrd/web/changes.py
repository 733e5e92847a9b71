"""Notices changes in the ledger and in the daemon's snapshot, for all requests that wait."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ocrd import snapshot
from ocrd.errors import LedgerError, OcrdError
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.readonly import read_ledger

T = TypeVar("T")
Question = Callable[[Ledger], T | None]
Waiter = tuple[Question[Any], asyncio.Future[Any]]

LOOK_S = 0.05


class Changes:
    """Watches the files' times for all waiting requests, none of which occupies a thread.

    A commit touches the ledger's WAL.  The daemon replaces its snapshot once a second, which
    counts as a change only if more than its time differs.
    """

    def __init__(self, ledger: Path, spool: Path) -> None:
        self._ledger = ledger
        self._spool = spool
        self._files = (ledger, ledger.with_name(ledger.name + "-wal"))
        self._seen = self._look()
        self._fresh = True  # a commit was seen just now: another may have the same time
        self._said: tuple[object, object] = (None, None)  # the snapshot's times; its content
        self._changed = asyncio.Event()
        self._waiters: set[Waiter] = set()
        self.generation = 0

    async def watch(self) -> None:
        """Watch the files until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            seen, said = self._look(), self._word()
            committed, told = self._fresh or seen != self._seen, said[1] != self._said[1]
            self._fresh = seen != self._seen
            self._seen, self._said = seen, said
            if committed or told:
                self.generation += 1
                before, self._changed = self._changed, asyncio.Event()
                before.set()
            if committed and self._waiters:
                await self._ask_again([*self._waiters])

    async def next(self, timeout_s: float) -> bool:
        """Wait for the next change; returns whether one came in time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
            return True
        return False

    async def ask(self, question: Callable[[Ledger], T], otherwise: T) -> T:
        """Ask the ledger a read-only question; `otherwise` is the answer if there is no ledger yet.

        Raises:
            LedgerError, PlaceError: The ledger cannot be read.
        """
        try:
            return await asyncio.to_thread(read_ledger, self._ledger, question)
        except LedgerError as error:
            if error.kind == "ledger-missing":
                return otherwise
            raise

    async def until(self, question: Question[T], timeout_s: float) -> T | None:
        """Ask now and after each commit until the answer is not None; None if time runs out.

        Raises:
            LedgerError, PlaceError: The ledger exists but cannot be read.
        """
        waiter: Waiter = (question, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)  # before asking, so that no change is missed meanwhile
        try:
            await self._ask_again([waiter])
            with contextlib.suppress(TimeoutError):
                found: T = await asyncio.wait_for(waiter[1], timeout_s)
                return found
            return None
        finally:
            self._waiters.discard(waiter)

    async def _ask_again(self, waiters: Sequence[Waiter]) -> None:
        """Ask all questions in one reading of the ledger."""

        def answers(ledger: Ledger) -> list[Any]:
            return [question(ledger) for question, _ in waiters]

        try:
            found = await self.ask(answers, [None] * len(waiters))
        except OcrdError as error:
            for _, future in waiters:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(waiters, found, strict=True):
            if answer is not None and not future.done():
                future.set_result(answer)

    def _look(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(map(_times, self._files))

    def _word(self) -> tuple[object, object]:
        times = _times(self._spool / snapshot.SNAPSHOT)
        if times == self._said[0]:
            return self._said
        told = snapshot.read(self._spool) or {}
        return times, {**told, "updated_at": None}


def _times(file: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(file)  # noqa: PTH116 - asked twenty times a second
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
