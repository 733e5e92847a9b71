"""All inboxes, and the threads that step them.

One thread steps every inbox on a local disk, with one inotify instance for all of them.  An inbox
on a share, or on a file system not yet known, has a thread of its own: a share that hangs holds up
no other inbox.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrd.config import Folder
from ocrd.config.schema import WatchSettings
from ocrd.events import Events
from ocrd.inbox.conditions import stalled, stray
from ocrd.inbox.inbox import Inbox
from ocrd.inbox.inotify import Inotify
from ocrd.inbox.scan import strays
from ocrd.inbox.watcher import LIMIT_AGAIN_S, Watcher
from ocrd.mounts import MOUNTINFO, parse

if TYPE_CHECKING:
    from ocrd.ledger.ledger import Ledger

JOIN_S = 5.0
LONGEST_S = 1.0  # seconds; the longest pause of a thread between rounds
STALE_S = 60.0  # seconds; a thread that has not moved for longer hangs in a share
MEMORY = "inboxes"  # folder in the spool: the mounts and markers last seen of the inboxes


class _Lane(threading.Thread):
    """A thread that steps inboxes."""

    def __init__(
        self,
        name: str,
        *,
        shared: bool,
        hand_over: Callable[[Inbox, _Lane], object],
        events: Events,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.shared = shared
        self.moved_at = time.monotonic()
        self.inboxes: tuple[Inbox, ...] = ()
        self._hand_over = hand_over
        self._events = events
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._inotify: Inotify | OSError | None = None
        self._inotify_again = float("-inf")
        self._listening: set[Watcher] = set()
        self._mountinfo: bytes | None = None  # None: check again whether its inboxes belong here
        self._mounts_at = float("-inf")

    def take(self, inbox: Inbox) -> None:
        """Start stepping this inbox."""
        inbox.wake_me = self.wake
        with self._lock:
            self.inboxes = (*self.inboxes, inbox)
        self.wake()

    def drop(self, inbox: Inbox) -> None:
        """Stop stepping this inbox."""
        with self._lock:
            self.inboxes = tuple(each for each in self.inboxes if each is not inbox)
        self.wake()

    def wake(self) -> None:
        """Make the thread start its next round."""
        with contextlib.suppress(OSError):
            os.eventfd_write(self._wakeup, 1)

    def stop(self) -> None:
        """End the thread soon; `join` waits for it."""
        self._over.set()
        self.wake()

    def stale(self) -> float:
        """Seconds since the thread last made progress."""
        return time.monotonic() - self.moved_at

    def run(self) -> None:
        """Step the inboxes until `stop`; a lane not shared also ends when it has no inbox left."""
        mine: list[Inbox] = []
        try:
            while not self._over.is_set() and (self.shared or self.inboxes):
                self.moved_at = time.monotonic()
                try:
                    self._round(mine)
                except Exception as error:  # the next round may succeed
                    self._events.error("inboxes.failed", lane=self.name, error=repr(error))
                    self._over.wait(LONGEST_S)
        finally:
            for inbox in mine:
                inbox.watcher.stop()
            if isinstance(self._inotify, Inotify):
                self._inotify.close()

    def _round(self, mine: list[Inbox]) -> None:
        self._renew(mine)
        self._look_at_mounts(mine)
        now = time.monotonic()
        for inbox in [each for each in mine if each.next_step() <= now]:
            self.moved_at = time.monotonic()
            if inbox in self.inboxes:
                self._step(inbox)
        soonest = min((inbox.next_step() for inbox in mine), default=float("inf"))
        self._listen(min(LONGEST_S, max(0.0, soonest - time.monotonic())))

    def _renew(self, mine: list[Inbox]) -> None:
        """Add new inboxes to `mine`, and stop those that have been dropped."""
        with self._lock:
            wanted = self.inboxes
        for inbox in [each for each in mine if each not in wanted]:
            mine.remove(inbox)
            self._listening.discard(inbox.watcher)
            inbox.watcher.stop()
        for inbox in [each for each in wanted if each not in mine]:
            mine.append(inbox)
            self._mountinfo = None

    def _step(self, inbox: Inbox) -> None:
        try:
            if not inbox.begun:
                self._mountinfo = None  # it may belong to another lane
            elif (watcher := inbox.watcher) not in self._listening:
                self._listening.add(watcher)
                watcher.listen(self._source() if watcher.wants_events else None)
                kind = watcher.kind
                self._events.emit("folder.watching", folder=inbox.folder.name, kind=kind)
            inbox.step()
        except Exception as error:  # no exception may end this inbox or the others
            self._listening.discard(inbox.watcher)
            inbox.broke(error)

    def _source(self) -> Inotify | OSError:
        if self._inotify is None:
            try:
                self._inotify = Inotify()
            except OSError as error:
                self._inotify, self._inotify_again = error, time.monotonic() + LIMIT_AGAIN_S
        return self._inotify

    def _look_at_mounts(self, mine: list[Inbox]) -> None:
        """Hand over inboxes that belong to another lane, before a new share can hang this one."""
        now = time.monotonic()
        if now < self._mounts_at and self._mountinfo is not None:
            return
        self._mounts_at = now + LONGEST_S
        if isinstance(self._inotify, OSError) and now > self._inotify_again:
            self._inotify = None
            self._listening.clear()
        found = MOUNTINFO.read_bytes()
        if found == self._mountinfo:
            return
        self._mountinfo, table = found, parse(found)
        begun = [each for each in mine if each.begun]
        for inbox in [each for each in begun if each.watcher.root.local(table) != self.shared]:
            mine.remove(inbox)
            self._listening.discard(inbox.watcher)
            inbox.watcher.listen(None)
            self.drop(inbox)
            self._hand_over(inbox, self)

    def _listen(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        inotify = self._inotify if isinstance(self._inotify, Inotify) else None
        if inotify is not None:
            poll.register(inotify.fileno(), select.POLLIN)
        poll.poll(seconds * 1000)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wakeup)
        for event in inotify.read() if inotify is not None else ():
            whose = [event.whose] if event.whose else [each.watcher for each in self.inboxes]
            for watcher in whose:
                watcher.heard(event)


class Inboxes:
    """One `Inbox` for each folder in force.

    Args:
        ledger: Where jobs are recorded.
        events: Where events are reported.
        watch: The scan interval and the largest file size.
        root: Missing inboxes below it are created.
        memory: The folder that keeps, over a restart, which shares the inboxes lay on.
        wake: Called after jobs were recorded; from any thread.
        awaits_content: Whether empty files may take longer than the settle time.
    """

    def __init__(
        self,
        ledger: Ledger,
        events: Events,
        watch: WatchSettings,
        *,
        root: Path,
        memory: Path,
        wake: Callable[[], object],
        awaits_content: bool = True,
    ) -> None:
        self._ledger, self._events, self._wake = ledger, events, wake
        self._watch = watch
        self._root = root
        self._memory = memory
        self._awaits_content = awaits_content
        self._inboxes: dict[str, Inbox] = {}
        self._lanes: list[_Lane] = []
        self._lock = threading.Lock()
        self._strays: Mapping[str, int] = {}
        self._known: tuple[Path, ...] = ()
        self._over = threading.Event()
        self._shared = self._lane()
        self._looking: threading.Thread | None = None

    def _lane(self, own: Inbox | None = None) -> _Lane:
        """Start a lane for one inbox or, by default, the shared lane for local disks."""
        name = "inboxes" if own is None else f"inbox-{own.folder.name}"
        lane = _Lane(name, shared=own is None, hand_over=self._hand_over, events=self._events)
        if own is not None:
            lane.take(own)
        with self._lock:
            self._lanes = [*(each for each in self._lanes if each.is_alive()), lane]
            lane.start()
        return lane

    def _hand_over(self, inbox: Inbox, lane: _Lane) -> None:
        """Move an inbox to another lane, because it does not belong on this one."""
        if self._inboxes.get(inbox.folder.name) is not inbox:
            return  # no longer in force
        if lane.shared:
            self._lane(inbox)
        else:
            self._shared.take(inbox)

    # -- the folders in force -------------------------------------------------------------------

    def follow(self, folders: Mapping[str, Folder], known: Iterable[Path] = ()) -> None:
        """Watch exactly these folders; unchanged ones continue undisturbed.

        Args:
            folders: By name.
            known: Further inboxes, in which files are not strays.
        """
        self._known = (*(folder.inbox for folder in folders.values()), *known)
        for name, inbox in list(self._inboxes.items()):
            if folders.get(name) != inbox.folder:
                del self._inboxes[name]
                for lane in self._lanes:
                    lane.drop(inbox)
        for name, folder in folders.items():
            if name not in self._inboxes:
                self._inboxes[name] = self._inbox(folder)
                self._lane(self._inboxes[name])  # until it is known whether its disk is local
        if self._looking is None:
            self._looking = threading.Thread(target=self._look_for_strays, daemon=True)
            self._looking.start()

    def _inbox(self, folder: Folder) -> Inbox:
        memory = self._memory / f"{folder.name}.json"
        return Inbox(
            folder,
            self._ledger,
            self._events,
            wake=self._wake,
            max_bytes=self._watch.max_file_mib << 20,
            make=makes_inbox(folder, self._root, memory),
            rescan_s=self._watch.rescan_s,
            memory=memory,
            awaits_content=self._awaits_content,
        )

    def stop(self) -> None:
        """End all threads; a thread that hangs in a dead share is abandoned."""
        self._over.set()
        for lane in self._lanes:
            lane.stop()
        for lane in self._lanes:
            lane.join(JOIN_S)

    # -- how they are getting on ----------------------------------------------------------------

    def hint(self, folder: str, source: str) -> None:
        """Look at a file of a folder again."""
        if folder in self._inboxes:
            self._inboxes[folder].watcher.hint(source)
            for lane in self._lanes:
                lane.wake()

    def settled(self) -> bool:
        """Whether every inbox has been scanned and no file is about to be taken."""
        return all(inbox.settled() for inbox in self._inboxes.values())

    def closed(self) -> set[str]:
        """Names of the folders whose inbox cannot be read now."""
        return {
            name
            for name, inbox in self._inboxes.items()
            if inbox.closed() or self._hangs(inbox) is not None
        }

    def healthy(self) -> bool:
        """Whether the thread of the local inboxes makes progress; a share may hang."""
        return self._shared.is_alive() and self._shared.stale() < 2 * STALE_S

    def report(self, folder: str) -> dict[str, Any]:
        """The fields that `ocrd status` shows of a folder's inbox."""
        inbox = self._inboxes.get(folder)
        if inbox is None:
            return {}
        hangs = self._hangs(inbox)
        if hangs is None:
            return inbox.report()
        return inbox.report() | {"condition": stalled(str(inbox.folder.inbox), hangs).shown()}

    def _hangs(self, inbox: Inbox) -> float | None:
        lane = next((each for each in self._lanes if inbox in each.inboxes), None)
        if lane is None or lane.shared or lane.stale() < STALE_S:
            return None
        return lane.stale()

    # -- files in the wrong place ---------------------------------------------------------------

    def strays(self) -> list[dict[str, Any]]:
        """Places below `inbox/` with files that belong to no folder, each with their number."""
        return [{"path": path, "files": files} for path, files in self._strays.items()]

    def _look_for_strays(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                found = strays(self._root, self._known)
                if found != self._strays and found:
                    self._events.warn("inbox.strays", error=stray(found))
                self._strays = found
            self._over.wait(self._watch.rescan_s)


def makes_inbox(folder: Folder, root: Path, memory: Path) -> bool:
    """Whether the daemon may create a folder's inbox: below the root, and never seen before.

    An inbox that was seen is missing because a person removed it, or because its share is not
    mounted.
    """
    return folder.inbox.is_relative_to(root) and not memory.exists()
