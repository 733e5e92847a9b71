"""Watches the outboxes throughout a run: a bundle must be whole from the moment it appears."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.slow.faults.bundles import bundle_folders, look_at
from tests.slow.faults.evidence import Site

EVERY_S = 1.0


class Onlooker:
    """What a person with a file manager open would see.

    Args:
        site: Where the daemon works.
        folders: The folders whose outboxes are watched.

    Attributes:
        seen: Number of bundles looked at, each when it first appeared.
        wrong: A sentence for each fault that a bundle had then.
    """

    def __init__(self, site: Site, folders: Sequence[str]) -> None:
        self._site, self._folders = site, folders
        self._known: set[Path] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="onlooker")
        self.wrong: list[str] = []

    @property
    def seen(self) -> int:
        """Number of bundles looked at."""
        return len(self._known)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.look()

    def look(self) -> None:
        """Audit the bundles that are new since the last look."""
        for folder in self._folders:
            for at in bundle_folders(self._site.tree("outbox", folder)):
                if at not in self._known:
                    self._known.add(at)
                    self.wrong += [f"when first seen: {fault}" for fault in look_at(self._site, at)]

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            self.look()
