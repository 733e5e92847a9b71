"""Nothing depends on what is not on the disk yet, on any file system.

The strictest reading of POSIX: contents last after an fsync of the file, a name after an fsync of
its folder, and nothing else makes either last.  (ext4's journal is kinder: one fsync there commits
every change before it, so that a power cut on ext4 cannot show a missing one.)
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.files import Disk
from tests.unit.spool.scenarios import SCENARIOS, Scenario, names, outcome, wanted
from tests.unit.spool.steps import DISKS, Call, Hooked
from tests.unit.spool.world import TREES, World

RENAMES = ("rename", "rename_exclusive")


class Pending:
    """What has been changed and is not on the disk yet."""

    def __init__(self, world: World) -> None:
        self._trees = tuple(world.tree(name) for name in TREES)
        self.contents: set[Path] = set()
        self.folders: set[Path] = set()
        self.faults: list[str] = []

    def before(self, call: Call) -> None:
        """What must be on the disk before this call."""
        path = call.arguments[0]
        if call.name in (*RENAMES, "link") and self._is_seen(call.arguments[1]):
            torn = [file for file in self.contents if file.is_relative_to(path)]
            self.faults += [f"{call} shows {file} before it is on the disk" for file in torn]
        if call.name in ("unlink", "rmdir") and not _is_ours(path):
            self.faults += [
                f"{call} while the names in {folder} are not on the disk"
                for folder in self.folders
                if self._is_seen(folder) and folder != path.parent and folder != path
            ]

    def after(self, call: Call) -> None:
        """What the call, having succeeded, has changed."""
        path, *more = call.arguments
        if call.name == "fsync_file":
            self.contents.discard(path)
        elif call.name == "fsync_dir":
            self.folders.discard(path)
        elif call.name in ("write", "create", "mkdir", "unlink", "rmdir") or (
            call.name == "append" and more[1] == 0  # it made the file
        ):
            self.folders.add(path.parent)
        if call.name in ("write", "copy"):
            self.contents.add(more[0] if call.name == "copy" else path)
        if call.name in ("copy", "link", *RENAMES):
            self.folders.add(more[0].parent)
        if call.name in RENAMES:
            self.folders.add(path.parent)
            moved = {file for file in self.contents if file.is_relative_to(path)}
            self.contents -= moved
            self.contents |= {more[0] / file.relative_to(path) for file in moved}

    def left(self) -> list[Path]:
        """What still exists and is not on the disk."""
        return sorted(path for path in self.contents | self.folders if path.exists())

    def _is_seen(self, path: Path) -> bool:
        return any(path.is_relative_to(tree) for tree in self._trees)


def _is_ours(path: Path) -> bool:
    """Records and scratch: what they held was about a step that is complete."""
    scratch = any(name.endswith(".part") for name in path.parts)
    return scratch or path.suffix == ".json" or path.name in ("sealed", "report")


@pytest.fixture(params=["one-file-system", "mounts-of-their-own"])
def world(request: pytest.FixtureRequest, memory: Path, mounts_of_their_own: World) -> World:
    apart = request.param == "mounts-of-their-own"
    return mounts_of_their_own if apart else World(memory / request.param)


@pytest.mark.parametrize("disk", DISKS.values(), ids=DISKS.keys())
@pytest.mark.parametrize("scenario", SCENARIOS, ids=names)
def test_each_step_is_on_the_disk_before_the_next_relies_on_it(
    world: World, scenario: Scenario, disk: Disk
) -> None:
    world.make()
    job = scenario.prepare(world)
    pending = Pending(world)
    hooked = Hooked(pending.before, disk, after=pending.after)
    scenario.act(world.spool(hooked), world, job)
    assert outcome(world) == wanted(scenario)
    assert pending.faults == []
    assert pending.left() == []
