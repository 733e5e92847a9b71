"""A process that is killed before any of its system calls leaves nothing that cannot be mended."""

from __future__ import annotations

import random
import signal
from functools import partial
from pathlib import Path

import pytest

from ocrd.files import Disk
from tests.support.needs import few, slow
from tests.unit.spool.children import in_a_child
from tests.unit.spool.mounts import fuse
from tests.unit.spool.scenarios import (
    SCENARIOS,
    Scenario,
    complaints,
    foreign,
    names,
    outcome,
    prepared,
    trace,
    wanted,
)
from tests.unit.spool.steps import DISKS, TEARABLE, Call, Hooked, WithoutLinks, dying
from tests.unit.spool.world import World

ON_FUSE = [scenario for scenario in SCENARIOS if scenario.name in ("publish", "archive")]


@pytest.mark.parametrize("disk", few([*DISKS]))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=names)
def test_a_kill_before_any_step_is_mended_by_doing_it_again(
    memory: Path, scenario: Scenario, disk: str
) -> None:
    kill_at_every_step(World(memory / "one"), scenario, DISKS[disk])


@slow
@pytest.mark.parametrize("disk", DISKS.values(), ids=DISKS.keys())
@pytest.mark.parametrize("scenario", SCENARIOS, ids=names)
def test_a_kill_between_file_systems_is_mended_by_doing_it_again(
    mounts_of_their_own: World, scenario: Scenario, disk: Disk
) -> None:
    kill_at_every_step(mounts_of_their_own, scenario, disk)


@pytest.mark.parametrize("scenario", ON_FUSE, ids=names)
def test_a_kill_on_a_fuse_mount_is_mended_by_doing_it_again(
    memory: Path, scenario: Scenario
) -> None:
    with fuse(memory / "behind", memory / "fuse") as root:
        kill_at_every_step(World(root), scenario, Disk())


@slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=names)
def test_kills_during_the_mending_are_mended_as_well(
    mounts_of_their_own: World, scenario: Scenario
) -> None:
    """Up to four kills one after another, at places drawn with a fixed seed."""
    draw = random.Random(scenario.name)
    disk, world = WithoutLinks(), mounts_of_their_own
    steps = len(trace(world, scenario, disk))
    for _ in range(12):
        job = prepared(world, scenario)
        places = [(draw.randrange(steps), draw.random() < 0.5) for _ in range(4)]
        for at, torn in places:
            spool = world.spool(Hooked(dying(at, torn=torn), disk))
            in_a_child(partial(scenario.act, spool, world, job))
            assert complaints(scenario, world, reserving=True) == [], places
        scenario.act(world.spool(disk), world, job)
        assert outcome(world) == wanted(scenario), places


def kill_at_every_step(world: World, scenario: Scenario, disk: Disk) -> None:
    """The whole scenario for each of its calls: kill before it (and within it), look, repeat."""
    calls = trace(world, scenario, disk)
    assert outcome(world) == wanted(scenario), "without a kill"
    for call in few(calls):
        kill_at(world, scenario, disk, call, torn=False)
        if call.name in TEARABLE:
            kill_at(world, scenario, disk, call, torn=True)


def kill_at(world: World, scenario: Scenario, disk: Disk, call: Call, *, torn: bool) -> None:
    moment = f"killed {'within' if torn else 'before'} {call}"
    job = prepared(world, scenario)
    spool = world.spool(Hooked(dying(call.number, torn=torn), disk))
    status = in_a_child(lambda: scenario.act(spool, world, job))
    assert status == -signal.SIGKILL, moment
    reserving = isinstance(disk, WithoutLinks)
    assert complaints(scenario, world, reserving=reserving) == [], moment
    scenario.act(world.spool(disk), world, job)
    assert outcome(world) == wanted(scenario), moment
    assert foreign(scenario.owner, world) == [], moment
