"""One inbox's thread: what comes to rest waits for what belongs to it, and is recorded."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ocrd.config import Folder
from ocrd.daemon import leftovers, recorder
from ocrd.daemon.leftovers import Leftovers
from ocrd.daemon.recorder import Recorder
from ocrd.errors import OcrdError
from ocrd.events import Events
from ocrd.files import display
from ocrd.inbox.gather import Gatherer, rule_for
from ocrd.inbox.report import Candidate
from ocrd.inbox.watch import FolderWatch

T = TypeVar("T")

STEP_S = 0.2  # how often the watch is asked when nothing is due
RECORD_BATCH = 500  # files recorded in one transaction
DOCUMENT_BATCH = 100  # documents of several files, likewise
LEDGER_WAIT_S = 1.0  # before a ledger that is full or locked is asked again
HASH_AGAIN_S = 60.0  # before documents that it did not take are: their files are hashed once more
STALE_S = 120.0  # a thread that has not moved for so long hangs (a dead share, perhaps)


class Ledger(recorder.Ledger, leftovers.Ledger, Protocol):
    """What is asked of the ledger."""


class Intake(threading.Thread):
    """Watches one folder's inbox and fills the ledger from it.

    A thread of its own for each folder: a share that hangs holds up nobody else.

    Args:
        folder: Which inbox, and what its files are worth.
        rescan_s: Seconds between looking through everything.
        make: Whether to make the inbox if it is not there.
        memory: A file to remember in, over a restart, what share the inbox lay on.
        awaits_content: Whether an empty file may take longer than the settle time.
        ledger: Where jobs are recorded.
        events: Is told of each.
        wake: Called after something was recorded; from this thread.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        rescan_s: float,
        make: bool = False,
        memory: Path | None = None,
        awaits_content: bool = True,
        ledger: Ledger,
        events: Events,
        wake: Callable[[], object],
    ) -> None:
        super().__init__(name=f"intake-{folder.name}", daemon=True)
        self.folder = folder
        self._make = make
        self._events = events
        self._over = threading.Event()
        self._move()
        self._busy = True
        self._documents_after = float("-inf")  # of the monotonic clock
        self._rests = False
        self._unmarked = 0  # files that wait for their marker
        self._overdue: tuple[str, ...] = ()
        self._looked_at = False
        self._told: set[str] = set()
        self._waits: OcrdError | None = None  # why the ledger takes nothing now
        self._gatherer = Gatherer(
            folder.inbox,
            rule=rule_for(folder.join, folder.join_pattern, folder.join_pause_s),
            pause_s=folder.join_pause_s,
            marker=folder.done_marker,
        )
        self._watch = FolderWatch(
            folder.inbox,
            settle_s=folder.settle_s,
            max_wait_s=folder.max_wait_s,
            rescan_s=rescan_s,
            include=folder.include,
            ignore=folder.ignore,
            leave=self._gatherer.is_marker,
            awaits_content=awaits_content,
            memory=memory,
            kind=folder.watch,  # type: ignore[arg-type]  # the configuration allows just these words
        )
        self._leftovers = Leftovers(folder, ledger=ledger, events=events)
        self._recorder = Recorder(
            folder,
            watch=self._watch,
            ledger=ledger,
            events=events,
            wake=wake,
            progress=self._move,
        )

    def run(self) -> None:
        """Watch until told to stop."""
        if self._make:
            with contextlib.suppress(OSError):  # the watch tells why it is not there
                self.folder.inbox.mkdir(parents=True, exist_ok=True)
        self._recall()
        self._watch.start()
        self._looked_at = True
        self._events.emit("folder.watching", folder=self.folder.name, kind=self._watch.report.kind)
        try:
            while not self._over.is_set():
                self._move()
                if not self._step():
                    self._over.wait(STEP_S)
        finally:
            self._watch.stop()

    def stop(self) -> None:
        """End soon; `join` to wait for it."""
        self._over.set()

    def hint(self, source: str) -> None:
        """Look at a file again: its job found it changed."""
        self._watch.hint(source)

    def settled(self) -> bool:
        """Whether the inbox has been looked through and nothing in it is about to be taken."""
        report = self._watch.report
        if report.paused is not None:
            return True
        quiet = not self._watch.hinted() and not self._busy  # in this order: a step takes hints
        return quiet and report.scans > 0 and self._rests

    def closed(self) -> bool:
        """Whether the inbox cannot be read now, or was not looked at yet."""
        return not self._looked_at or self._watch.report.paused is not None

    def healthy(self) -> bool:
        """Whether the thread goes round and its watch works."""
        moved = time.monotonic() - self._moved_at < STALE_S
        return self.is_alive() and moved and self._watch.healthy()

    def report(self) -> dict[str, Any]:
        """What `ocrd status` shows of the inbox."""
        report = self._watch.report
        paused = report.paused or self._waits
        return {
            "watch": report.kind,
            "settling": max(0, report.waiting - self._unmarked),
            "unmarked": self._unmarked,
            "overdue": list(self._overdue),
            "conditions": [
                {"kind": found.kind, "message": found.message, "hint": found.hint}
                for found in report.conditions
            ],
            "condition": paused
            and {"kind": paused.kind, "message": paused.message, "hint": paused.hint},
        }

    def _move(self) -> None:
        """It does not hang: it goes round, or reads files, of which there may be many."""
        self._moved_at = time.monotonic()

    def _recall(self) -> None:
        """What an earlier life recorded and nobody claimed yet need not be hashed again."""
        with contextlib.suppress(OcrdError):  # locked: then everything is looked at anew
            self._watch.recall(self._recorder.recalled())

    def _step(self) -> bool:
        """One round; whether there may be more at once."""
        self._busy = True
        candidates = self._watch.step()
        try:
            taken = self._take(candidates)
            self._leftovers.remove(self._watch.hidden())
        except OcrdError as error:  # the ledger is locked or full; they are offered again
            self._wait_for(error)
        else:
            self._waited(recorded=taken)
        self._tell_conditions()
        self._look_back()
        self._busy = bool(candidates) or self._watch.report.busy
        return self._busy

    def _take(self, candidates: Sequence[Candidate]) -> bool:
        """Record what is ready, and let the rest wait; whether anything was ready."""
        gatherer, recorder = self._gatherer, self._recorder
        gatherer.keep(self._watch.waits)
        gatherer.add(recorder.unknown(candidates) if gatherer.rule is not None else candidates)
        held = time.monotonic() < self._documents_after
        seen_until = float("-inf") if held else self._watch.report.seen_until
        ready = gatherer.take(seen_until=seen_until, unsettled=self._watch.unsettled)
        for batch in _batches(ready.files, RECORD_BATCH):
            recorder.record(batch)
        by_name = gatherer.rule is not None and gatherer.rule.one_of_a_name
        for documents in _batches(ready.documents, DOCUMENT_BATCH):
            for path in recorder.record_documents(documents, by_name=by_name):
                gatherer.drop(path)
        return bool(ready.files or ready.documents)

    def _look_back(self) -> None:
        """How many files wait, and for what; other threads ask."""
        report = self._watch.report
        overdue = [each.path for each in report.overdue if each.path not in self._gatherer]
        self._overdue = tuple(map(display, overdue))
        self._unmarked = self._gatherer.unmarked
        self._rests = (
            not self._gatherer.unjoined and report.waiting <= len(overdue) + self._unmarked
        )

    def _tell_conditions(self) -> None:
        """Each condition once when it begins and once when it ends."""
        now = {found.message: found for found in self._watch.report.conditions}
        for message in now.keys() - self._told:
            found = now[message]
            self._events.warn(
                "inbox.condition",
                folder=self.folder.name,
                kind=found.kind,
                error=message,
                hint=found.hint,
            )
        for message in self._told - now.keys():
            self._events.emit("inbox.condition_ended", folder=self.folder.name, error=message)
        self._told = set(now)

    def _wait_for(self, error: OcrdError) -> None:
        """The ledger takes nothing now: told once, and shown until it does."""
        if self._waits is None:
            why = {"kind": error.kind, "error": error.message, "hint": error.hint}
            self._events.warn("intake.waits", folder=self.folder.name, **why)
        self._waits = error
        self._documents_after = time.monotonic() + HASH_AGAIN_S
        self._over.wait(LEDGER_WAIT_S)

    def _waited(self, *, recorded: bool) -> None:
        if self._waits is not None and recorded:
            self._events.emit("intake.goes_on", folder=self.folder.name, kind=self._waits.kind)
            self._waits = None


def _batches(things: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(things)
    while batch := list(islice(rest, size)):
        yield batch
