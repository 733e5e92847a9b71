"""An empty inbox, a clock to turn, and a watch that has begun."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.inbox.support import MAX_WAIT, RESCAN, SETTLE, Clock, FolderWatch, watching


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(inbox: Path, clock: Clock) -> Iterator[FolderWatch]:
    times = {"settle_s": SETTLE, "max_wait_s": MAX_WAIT, "rescan_s": RESCAN}
    with watching(inbox, clock, **times) as watch:
        yield watch
