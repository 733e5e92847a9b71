"""A real ledger in a real file, and a clock that the test moves."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.ledger.ledger import Ledger
from tests.support.needs import need
from tests.unit.ledger.making import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A ledger without jobs: to have it made anew takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    Ledger.open(path).close()
    return path.read_bytes()


@pytest.fixture
def ledger(path: Path, clock: Clock, empty: bytes) -> Iterator[Ledger]:
    path.write_bytes(empty)
    with Ledger.open(path, clock=clock) as opened:
        yield opened


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 2 MiB of its own."""
    need("mounts")
    point = tmp_path / "disk"
    point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(point)]
    subprocess.run(mount, check=True)
    yield point
    subprocess.run(["umount", "--lazy", str(point)], check=True)
