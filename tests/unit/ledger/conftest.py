"""A real ledger in a real file, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.ledger.ledger import Ledger
from tests.unit.ledger.making import Clock, opened
from tests.unit.spool.mounts import tmpfs


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path, clock: Clock) -> Iterator[Ledger]:
    with opened(path, clock=clock) as ledger:
        yield ledger


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 2 MiB of its own."""
    with tmpfs(tmp_path / "disk", "2m") as disk:
        yield disk
