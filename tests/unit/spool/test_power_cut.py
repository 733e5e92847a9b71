"""The power fails: only what had reached the disk is there afterwards, and it is enough.

The root lies on an image of ext4 or btrfs behind a loop device.  A copy of the image, taken before
each call, is what a disk holds when the power goes at that moment: what only the page cache had is
lost.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.needs import everything, need
from tests.unit.spool.mounts import apart, mounted
from tests.unit.spool.scenarios import (
    INBOX,
    SCENARIOS,
    Scenario,
    complaints,
    outcome,
    wanted,
)
from tests.unit.spool.steps import CALLS, Call, Hooked
from tests.unit.spool.world import ORIGINAL, World

CHANGING = frozenset(CALLS) - {"lstat", "stat", "names", "open", "digest"}
ALONE = ("claim", "keep pages", "publish", "archive", "fail")
TOGETHER = ("claim joined", "claim joined for a retry", "archive joined", "fail joined")
KINDS = {  # what makes one, and its bytes
    "ext4": (["mkfs.ext4", "-q", "-m", "0"], 8 << 20),
    "btrfs": (["mkfs.btrfs", "-q", "--mixed"], 32 << 20),
}
SCENARIOS_HERE = {  # test_order.py has all of them between file systems, read more strictly
    "one-file-system": [s for s in SCENARIOS if s.name in (*ALONE, *TOGETHER)],
    "mounts-of-their-own": [s for s in SCENARIOS if s.name in ALONE],
    "btrfs": [s for s in SCENARIOS if s.name in ALONE],
}
PLACES = {"one-file-system": ("ext4", False), "mounts-of-their-own": ("ext4", True)}
PLACES["btrfs"] = ("btrfs", False)


@dataclass
class Disc:
    """An image of a file system, mounted where the root is."""

    image: Path
    at: Path
    apart: bool
    kind: str = "ext4"
    copies: list[tuple[str, Path]] = field(default_factory=list)  # locally the first and last

    def make(self) -> None:
        need("disks")
        if self.kind == "btrfs":
            need("btrfs")
        command, size = KINDS[self.kind]
        self.image.unlink(missing_ok=True)
        with self.image.open("wb") as file:
            file.truncate(size)
        subprocess.run([*command, str(self.image)], check=True, capture_output=True)

    def mounted(self, image: Path) -> AbstractContextManager[object]:
        """The image at the root's place; each tree a mount of its own if wanted."""
        stack = ExitStack()
        # commit=300: nothing reaches the disk of itself during the test
        stack.enter_context(mounted("-o", "loop,commit=300", str(image), at=self.at))
        if self.apart:
            stack.enter_context(apart(World(self.at)))
        return stack

    def copy(self, call: Call) -> None:
        if call.name in CHANGING and (everything() or not self.copies):
            self.copy_as(f"before {call}")

    def copy_as(self, moment: str) -> None:
        copy = self.image.with_name(f"{self.image.name}.{len(self.copies)}")
        subprocess.run(["cp", "--sparse=always", str(self.image), str(copy)], check=True)
        self.copies.append((moment, copy))


@pytest.fixture(params=PLACES)
def disc(request: pytest.FixtureRequest, memory: Path) -> Disc:
    folder = memory / "discs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    kind, apart = PLACES[request.param]
    return Disc(image=folder / "image", at=memory / "at", apart=apart, kind=kind)


@pytest.mark.parametrize(
    ("disc", "scenario"),
    [(place, scenario) for place, all_of_it in SCENARIOS_HERE.items() for scenario in all_of_it],
    ids=lambda it: getattr(it, "name", it),
    indirect=["disc"],
)
def test_a_power_cut_before_any_change_is_mended_by_doing_it_again(
    disc: Disc, scenario: Scenario
) -> None:
    world = World(disc.at)
    disc.make()
    with disc.mounted(disc.image):
        world.make()
        job = scenario.prepare(world)
        subprocess.run(["sync", "--file-system", str(disc.at)], check=True)
        scenario.act(world.spool(Hooked(disc.copy)), world, job)
        disc.copy_as("at the end")
    for moment, copy in disc.copies:
        with disc.mounted(copy):
            assert complaints(scenario, world) == [], moment
            if moment == "at the end":
                assert outcome(world) == wanted(scenario), moment
            scenario.act(world.spool(), world, job)
            assert outcome(world) == wanted(scenario), moment


def test_what_was_claimed_survives_even_if_its_writer_never_synced_it(disc: Disc) -> None:
    def claim(world: World) -> None:
        world.claimed("letters/scan.pdf")

    assert ORIGINAL in _after_a_cut(disc, claim).values()


def test_a_bundle_that_was_sealed_survives(disc: Disc) -> None:
    files = _after_a_cut(disc, lambda world: world.bundled())
    assert [name for name in files if name.endswith("bundle/images/3-1.jpg")]
    assert b"" not in [content for name, content in files.items() if "/bundle/" in name]


def test_the_cut_loses_what_was_not_synced(disc: Disc) -> None:
    """Else the tests above could not fail."""
    files = _after_a_cut(disc, lambda world: world.drop("letters/scan.pdf"))
    assert files.get(INBOX) != ORIGINAL


def _after_a_cut(disc: Disc, act: Callable[[World], object]) -> dict[str, bytes]:
    """All files there are when the power goes at the end of `act`."""
    world = World(disc.at)
    disc.make()
    with disc.mounted(disc.image):
        world.make()
        subprocess.run(["sync", "--file-system", str(disc.at)], check=True)
        act(world)
        disc.copy_as("at the end")
    with disc.mounted(disc.copies[0][1]):
        return world.files()
