"""Where the spool is tried: in memory, and with trees that are mounts of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.needs import need
from tests.unit.spool.mounts import apart, needs_root, tmpfs
from tests.unit.spool.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.make()
    return world


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory, where an fsync costs nothing."""
    with tmpfs(tmp_path_factory.mktemp("memory")) as at:
        yield at


@pytest.fixture(scope="module")
def mounts_of_their_own(memory: Path) -> Iterator[World]:
    """Every tree a mount of its own of one file system: `st_dev` is the same, renames fail."""
    with apart(World(memory / "own")) as world:
        yield world


@pytest.fixture
def far(mounts_of_their_own: World) -> World:
    """A root whose trees are mounts of their own."""
    mounts_of_their_own.make()
    return mounts_of_their_own


@pytest.fixture(params=["near", pytest.param("far", marks=needs_root)])
def near_or_far(request: pytest.FixtureRequest) -> World:
    """One file system, and trees that are mounts of their own."""
    if request.param == "far":
        world: World = request.getfixturevalue("far")
        return world
    world = World(request.getfixturevalue("tmp_path"))
    world.make()
    return world


@pytest.fixture
def nobodys_world() -> Iterator[World]:
    """A root that everybody can reach and whose spool belongs to nobody."""
    need("root", "mounts")
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    with tmpfs(top / "root") as root:
        world = World(root)
        world.make()
        yield world
    (top / "root").rmdir()
    top.rmdir()
