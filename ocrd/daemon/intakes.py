"""All inboxes' threads: started, exchanged and stopped as the configured folders change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ocrd.config import Folder
from ocrd.daemon.intake import Intake
from ocrd.daemon.wiring import House
from ocrd.events import Events

JOIN_S = 5.0
MEMORY = "inboxes"  # in the spool: what was once seen of them


class Intakes:
    """One `Intake` for each folder in force.

    Args:
        house: The ledger to record in, the dispatcher to wake.
        events: Is told what happens.
        loop: Where the dispatcher runs.
        rescan_s: Seconds between looking through everything.
        root: Inboxes below it are made when they are not there.
        memory: A folder to remember in, over a restart, what shares the inboxes lay on.
        awaits_content: Whether empty files may take longer than the settle time.
    """

    def __init__(
        self,
        house: House,
        events: Events,
        loop: asyncio.AbstractEventLoop,
        rescan_s: float,
        root: Path,
        memory: Path,
        *,
        awaits_content: bool = True,
    ) -> None:
        self._house = house
        self._events = events
        self._loop = loop
        self._rescan_s = rescan_s
        self._root = root
        self._memory = memory
        self._awaits_content = awaits_content
        self._intakes: dict[str, Intake] = {}

    def follow(self, folders: Mapping[str, Folder]) -> None:
        """Watch just these folders; those that stay as they are go on undisturbed."""
        for name, intake in list(self._intakes.items()):
            if folders.get(name) != intake.folder:
                del self._intakes[name]
                intake.stop()
        for name, folder in folders.items():
            if name not in self._intakes:
                self._intakes[name] = self._start(folder)

    def _start(self, folder: Folder) -> Intake:
        memory = self._memory / f"{folder.name}.json"
        intake = Intake(
            folder,
            rescan_s=self._rescan_s,
            make=makes_inbox(folder, self._root, memory),
            memory=memory,
            awaits_content=self._awaits_content,
            ledger=self._house.ledger,
            events=self._events,
            wake=lambda: self._loop.call_soon_threadsafe(self._house.scheduler.wake),
        )
        intake.start()
        return intake

    def hint(self, folder: str, source: str) -> None:
        """Look at a file of a folder again."""
        if folder in self._intakes:
            self._intakes[folder].hint(source)

    def names(self) -> set[str]:
        """The folders watched."""
        return set(self._intakes)

    def settled(self) -> bool:
        """Whether every inbox was looked through and nothing waits to come to rest."""
        return all(intake.settled() for intake in self._intakes.values())

    def closed(self) -> set[str]:
        """Folders whose inbox cannot be read now."""
        return {name for name, intake in self._intakes.items() if intake.closed()}

    def healthy(self) -> bool:
        """Whether every thread goes round."""
        return all(intake.healthy() for intake in self._intakes.values())

    def report(self, folder: str) -> dict[str, Any]:
        """What `ocrd status` shows of a folder's inbox."""
        intake = self._intakes.get(folder)
        return intake.report() if intake else {}

    def stop(self) -> None:
        """End all of them; one that hangs in a dead share is left behind."""
        for intake in self._intakes.values():
            intake.stop()
        for intake in self._intakes.values():
            intake.join(JOIN_S)


def makes_inbox(folder: Folder, root: Path, memory: Path) -> bool:
    """Whether the daemon may make a folder's inbox: below the root, and never seen before.

    One that was seen is away because a person took it, or because its share is not mounted.

    Args:
        folder: Whose inbox.
        root: The common parent of everything that gets moved.
        memory: Where it is remembered that the inbox was seen.
    """
    return folder.inbox.is_relative_to(root) and not memory.exists()
