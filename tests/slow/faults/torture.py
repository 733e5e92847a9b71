"""A stream of files, and faults that strike meanwhile: is anything lost?

    python -m tests.slow.faults.torture --seed S --minutes M [--files N] [--kills K]
        [--subject ocrd|servers|watcher] [--keep FOLDER]

The seed decides what is dropped and how, and which fault strikes when; how the system schedules the
processes still varies.  At the end everything that is left is processed undisturbed, an auditor
checks the disk, and a table shows what was done and what is wrong.  Exit code 1 on any violation.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ocrd.errors import ExitCode
from ocrd.spool.trees import MARKER
from tests.slow.faults.droppers import Dropper, Ground, through
from tests.slow.faults.evidence import Dropped, originals_below
from tests.slow.faults.ground import (
    FOLDERS,
    Ocrd,
    OverServers,
    Place,
    Subject,
    Watcher,
    place,
)
from tests.slow.faults.onlooker import Onlooker
from tests.slow.faults.samba import samba
from tests.slow.faults.stream import Batch, batches, ways
from tests.slow.faults.strikes import (
    Clock,
    Fault,
    FullDisk,
    InboxMadeAnew,
    LockedLedger,
    ServerKilled,
    Strike,
    Unmounted,
    WorkersKilled,
    plan,
)
from tests.support.needs import has
from tests.support.site import until

FIRST_SIGHT_S = 120.0
FILES_A_MINUTE, KILLS_A_MINUTE = 75, 20
AUDITED_KILL = 20  # after every so many kills the disk is audited before the daemon starts again
SUBJECTS: dict[str, Callable[[Place, IO[str]], Subject]] = {
    "ocrd": Ocrd,
    "servers": OverServers,
    "watcher": Watcher,
}
KINDS = (
    ("lost", re.compile("is lost|not at /")),
    ("doubled", re.compile("is doubled|too many|jobs claim")),
    (
        "half-written",
        re.compile("no whole|nobody dropped|not JSON|sidecars|lacks a bundle|stray|\\d of \\["),
    ),
    ("pages computed again", re.compile("computed again")),
    ("left waiting", re.compile("still ")),
)
OTHER = "other"


@dataclass
class Tally:
    """What was done, and what is wrong."""

    dropped: list[Dropped] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def table(self, title: str) -> str:
        """The counts as a table for people."""
        rows = [("files dropped", len(self.dropped)), *sorted(self.done.items())]
        kinds = Counter(map(kind_of, self.wrong))
        rows += [(f"VIOLATIONS {name}", kinds[name]) for name in (*dict(KINDS), OTHER)]
        return "\n".join([title, *(f"  {name:<42}{count:>8}" for name, count in rows)])


def kind_of(violation: str) -> str:
    """The row of the table that an auditor's sentence belongs to."""
    return next((name for name, words in KINDS if words.search(violation)), OTHER)


class Writer(threading.Thread):
    """Drops batch after batch, evenly spread over the run.

    Args:
        feed: The batches.
        ground: Where to drop them.
        known: The ways to drop, by name.
        every_s: Seconds from the start of one batch to the next.
        tally: Records what was dropped.
        busy: Held while a batch is being dropped.
    """

    def __init__(
        self,
        feed: Sequence[Batch],
        ground: Ground,
        known: Mapping[str, Dropper],
        every_s: float,
        tally: Tally,
        busy: threading.Lock,
    ) -> None:
        super().__init__(name=f"writer-{ground.folder}")
        self._feed, self._ground, self._known = feed, ground, known
        self._every_s, self._tally, self._busy = every_s, tally, busy
        self.error: Exception | None = None

    def run(self) -> None:
        """Drop everything; an error is kept for the thread that joins."""
        began = time.monotonic()
        try:
            for number, batch in enumerate(self._feed):
                time.sleep(max(0.0, began + number * self._every_s - time.monotonic()))
                self._drop(batch)
        except Exception as error:
            self.error = error

    def _drop(self, batch: Batch) -> None:
        ground = Ground(
            folder=batch.folder,
            inbox=self._ground.inbox,
            staging=self._ground.staging,
            pause=batch.pause,
        )
        with self._busy:
            self._tally.dropped += self._known[batch.way](ground, batch.items)
        self._tally.done[f"dropped: {batch.way}"] += len(batch.items)


class Torture:
    """One run.

    Args:
        where: Where it takes place.
        subject: The program under test.
        tally: Records what was done and what is wrong.
        locks: The writers' locks by folder, each held while its writer writes.
    """

    def __init__(
        self, where: Place, subject: Subject, tally: Tally, locks: Mapping[str, threading.Lock]
    ) -> None:
        self._where, self._subject, self._tally, self._locks = where, subject, tally, locks
        self._faults = faults(where, subject, locks)
        self._kills = 0

    @property
    def faults(self) -> list[str]:
        """The names of the faults that can strike here."""
        return sorted(self._faults)

    def run(self, strikes: Sequence[Strike], writers: Sequence[Writer]) -> None:
        """The whole run, the final audit included."""
        self._subject.start()
        self._await_first_sight()
        for writer in writers:
            writer.start()
        try:
            Clock(self._faults, self._kill, self._tell).run(strikes, self._look)
        finally:
            for writer in writers:
                writer.join()
            self._subject.kill()
        self._check(writers)
        self._note("the quiet run begins")
        code = self._subject.finish()
        self._note(f"the quiet run ended with {code}")
        if code not in (ExitCode.OK, ExitCode.SOME_FAILED):
            self._tally.wrong.append(f"the quiet run ended with {code}")
        self._count()
        self._tally.wrong += self._subject.audit(self._tally.dropped, over=True)

    def _await_first_sight(self) -> None:
        """Wait until the daemon has put its marker into every inbox.

        The share must be mounted by then: a daemon that first finds the bare mount point takes that
        for the inbox, and the share mounted over it later for another disk, until a person says
        otherwise.
        """
        inboxes = [] if isinstance(self._subject, Watcher) else map(self._where.inbox, FOLDERS)
        markers = [inbox / MARKER for inbox in inboxes]
        until(lambda: all(each.exists() for each in markers), FIRST_SIGHT_S)

    def _count(self) -> None:
        """Count the originals in archive and failed."""
        for tree in ("archive", "failed"):
            there = sum(
                len(originals_below(self._where.root / tree / folder)) for folder in FOLDERS
            )
            self._tally.done[f"originals in {tree}/"] = there

    def _check(self, writers: Sequence[Writer]) -> None:
        for writer in writers:
            if writer.error is not None:
                raise writer.error

    def _kill(self, fault: bool) -> None:
        self._subject.kill()
        self._kills += 1
        if not fault and self._kills % AUDITED_KILL == 0:
            self._audit_midway()
        self._subject.start()

    def _audit_midway(self) -> None:
        with contextlib.ExitStack() as still:
            for lock in self._locks.values():
                still.enter_context(lock)
            self._note("audit in the middle")
            self._tally.done["audits in the middle"] += 1
            found = self._subject.audit(list(self._tally.dropped), over=False)
        self._tally.wrong += [f"in the middle: {each}" for each in found]

    def _look(self) -> None:
        """Report and restart a subject that ended without being killed."""
        code = self._subject.ended()
        if code is not None:
            self._tally.wrong.append(f"it ended by itself, with {code}")
            self._note(self._tally.wrong[-1])
            self._subject.kill()
            self._subject.start()

    def _tell(self, what: str) -> None:
        if not what.startswith("ends"):
            self._tally.done[what.replace("begins", "fault")] += 1
        self._note(what)

    def _note(self, what: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def faults(where: Place, subject: Subject, locks: Mapping[str, threading.Lock]) -> dict[str, Fault]:
    """The faults that this machine allows, by name."""
    root = where.root
    found: dict[str, Fault] = {
        "page workers killed": WorkersKilled(lambda: subject.pid),
        "ledger locked": LockedLedger(root / ".ocrd" / "ledger.db"),
        "inbox made anew": InboxMadeAnew(
            root / "inbox" / "scans", root.parent / "away", [locks["scans"]]
        ),
    }
    if isinstance(subject, OverServers):
        found["server killed"] = ServerKilled(subject.servers)
    if where.mounted:
        found["outbox full"] = FullDisk(root / "outbox" / "tight")
        found["archive full"] = FullDisk(root / "archive" / "narrow")
        found["share unmounted"] = Unmounted(where.export, root / "inbox" / "share")
    return found


@contextlib.contextmanager
def known_ways(where: Place, folder: str, top: Path) -> Iterator[dict[str, Dropper]]:
    """The ways to drop into a folder; for the share also through a real SMB server, if possible."""
    if folder != "share" or not has("samba"):
        yield ways(None)
        return
    (top / "samba").mkdir()
    with samba(where.export, top / "samba") as server:
        yield ways(through(server))


def torture(top: Path, seed: int, minutes: float, files: int, kills: int, subject: str) -> Tally:
    """One run in the empty folder `top`; what was done and what is wrong."""
    tally, seconds = Tally(), minutes * 60
    locks = {folder: threading.Lock() for folder in FOLDERS}
    with contextlib.ExitStack() as at_end:
        where = at_end.enter_context(place(top))
        log = at_end.enter_context((top / "log").open("w", encoding="utf-8"))
        writers = []
        for number, folder in enumerate(FOLDERS):
            known = at_end.enter_context(known_ways(where, folder, top))
            rng = random.Random(f"{seed} {folder}")
            feed = list(batches(rng, (files + number) // len(FOLDERS), folder, sorted(known)))
            (top / f"staging-{folder}").mkdir()
            ground = Ground(
                folder=folder, inbox=where.inbox(folder), staging=top / f"staging-{folder}"
            )
            every_s = seconds / max(len(feed), 1)
            writers.append(Writer(feed, ground, known, every_s, tally, locks[folder]))
        tested = at_end.enter_context(contextlib.closing(SUBJECTS[subject](where, log)))
        run = Torture(where, tested, tally, locks)
        strikes = plan(random.Random(f"{seed} faults"), seconds, kills, run.faults)
        onlooker = Onlooker(where.site, FOLDERS)
        with onlooker if subject != "watcher" else contextlib.nullcontext():
            run.run(strikes, writers)
        tally.done["bundles looked at when first seen"] = onlooker.seen
        tally.wrong += onlooker.wrong
    return tally


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--files", type=int)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--subject", choices=sorted(SUBJECTS), default="ocrd")
    parser.add_argument("--keep", type=Path, help="an empty folder to work in and leave behind")
    given = parser.parse_args()
    files = given.files or int(given.minutes * FILES_A_MINUTE)
    kills = int(given.minutes * KILLS_A_MINUTE) if given.kills is None else given.kills
    with contextlib.ExitStack() as at_end:
        top = given.keep or Path(at_end.enter_context(tempfile.TemporaryDirectory()))
        began = time.monotonic()
        tally = torture(top, given.seed, given.minutes, files, kills, given.subject)
    for violation in tally.wrong:
        print(violation)
    wall = time.monotonic() - began
    print(tally.table(f"{given.subject}, seed {given.seed}, {wall:.0f} s"))
    sys.exit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
