"""Whatever the system answers to any call: an error with a remedy, no loss, and later it works."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ocrd.errors import Disposition, OcrdError, PlaceError
from ocrd.files import Disk
from tests.slow.faults.evidence import files_below
from tests.support.needs import few, slow
from tests.support.nobody import as_nobody
from tests.unit.spool.children import give_to_nobody
from tests.unit.spool.mounts import needs_root, remount, served, tmpfs
from tests.unit.spool.scenarios import (
    SCENARIOS,
    Scenario,
    complaints,
    names,
    outcome,
    prepared,
    trace,
    wanted,
)
from tests.unit.spool.steps import TEARABLE, Call, Hooked, WithoutExclusiveRename, failing
from tests.unit.spool.world import BUNDLE, ORIGINAL, STEPS, World, left

ANSWERS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.ESTALE, errno.EBUSY, errno.EACCES)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=names)
def test_any_answer_to_any_call_is_survived(memory: Path, scenario: Scenario) -> None:
    world = World(memory / "one")
    for code in few(ANSWERS):
        fail_at_every_step(world, scenario, Disk(), code)


@slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=names)
def test_any_answer_between_file_systems_is_survived(
    mounts_of_their_own: World, scenario: Scenario
) -> None:
    for disk in (Disk(), WithoutExclusiveRename()):
        fail_at_every_step(mounts_of_their_own, scenario, disk, errno.ENOSPC)
        fail_at_every_step(mounts_of_their_own, scenario, disk, errno.EIO)


def fail_at_every_step(world: World, scenario: Scenario, disk: Disk, code: int) -> None:
    """The whole scenario for each of its calls: fail it, look, do it again without a fault."""
    for call in few(trace(world, scenario, disk)):
        fail_at(world, scenario, disk, call, code, torn=False)
        if call.name in TEARABLE and code == errno.ENOSPC:
            fail_at(world, scenario, disk, call, code, torn=True)


def fail_at(
    world: World, scenario: Scenario, disk: Disk, call: Call, code: int, *, torn: bool
) -> None:
    moment = f"{errno.errorcode[code]} {'within' if torn else 'from'} {call}"
    job = prepared(world, scenario)
    spool = world.spool(Hooked(failing(call.number, code, torn=torn), disk))
    try:
        scenario.act(spool, world, job)
    except OcrdError as error:
        assert error.hint, moment
        assert error.disposition is not Disposition.PERMANENT, moment
    assert complaints(scenario, world) == [], moment
    scenario.act(world.spool(disk), world, job)
    assert outcome(world) == wanted(scenario), moment


@pytest.mark.parametrize("tree", STEPS)
@pytest.mark.parametrize(
    ("size", "options", "kind"), [("8k", "size=1m", "disk-full"), ("1m", "rw", "read-only")]
)
def test_a_full_or_read_only_tree_shows_nothing_and_gets_all_once_that_has_ended(
    world: World, tree: str, size: str, options: str, kind: str
) -> None:
    target = world.tree(tree) / "letters" / "scan"
    with tmpfs(world.tree(tree), size=size):
        if kind == "read-only":
            remount(world.tree(tree), "ro")
        job = world.bundled()
        with pytest.raises(PlaceError) as caught:
            STEPS[tree](world.spool(), job, target)
        assert caught.value.kind == kind
        assert str(world.tree(tree)) in caught.value.message
        assert (world.visible(), world.temporaries()) == ({}, [])
        remount(world.tree(tree), options)
        STEPS[tree](world.spool(), job, target)
        assert (world.visible(), world.temporaries()) == (left(tree), [])


def test_a_full_spool_leaves_the_original_in_the_inbox(tmp_path: Path) -> None:
    with tmpfs(tmp_path, size="256k"):
        world = World(tmp_path)
        world.make()
        job = world.drop("scan.pdf")
        ballast = tmp_path / "ballast"
        fill(ballast)
        with pytest.raises(OcrdError) as caught:
            world.spool().claim(job, world.tree("inbox") / "scan.pdf")
        assert caught.value.kind == "disk-full"
        ballast.unlink()
        assert world.visible() == {"inbox/scan.pdf": ORIGINAL}
        world.spool().claim(job, world.tree("inbox") / "scan.pdf")
        assert world.visible() == {}


def test_a_folder_that_the_daemon_may_not_write_to_is_named(nobodys_world: World) -> None:
    world = nobodys_world
    job = world.claimed("scan.pdf")
    give_to_nobody(world.root / ".ocrd")
    place = world.tree("archive") / "scan.pdf"
    error = as_nobody(lambda: world.spool().archive(job, place))
    assert isinstance(error, OcrdError)
    assert (error.kind, error.disposition) == ("no-permission", Disposition.CONDITION)
    assert error.message.startswith(
        f"{place.parent}: permission denied (owned by root:root, mode 0755)"
    )
    world.spool().archive(job, place)


@needs_root
def test_a_share_that_died_is_not_taken_for_an_empty_one(world: World, tmp_path: Path) -> None:
    """The process behind a FUSE mount is killed: every call there answers ENOTCONN."""
    behind, inbox, outbox = tmp_path / "behind", world.tree("inbox"), world.tree("outbox")
    ready = world.bundled("ready.pdf")
    target = outbox / "ready"
    with served(behind / "in", inbox) as inlet, served(behind / "out", outbox) as outlet:
        waiting = replace(world.drop("scan.pdf"), token="bb22")
        for server in (inlet, outlet):
            server.kill()
            server.wait()
        for deliver in (
            partial(world.spool().claim, waiting, inbox / "scan.pdf"),
            partial(world.spool().publish, ready, target),
            partial(world.spool().free_name, outbox, "ready"),
        ):
            with pytest.raises(OcrdError) as caught:
                deliver()
            assert (caught.value.kind, type(caught.value)) == ("share-gone", PlaceError)
    with served(behind / "in", inbox), served(behind / "out", outbox):
        world.spool().claim(waiting, inbox / "scan.pdf")
        world.spool().publish(ready, target)
        assert [path.name for path in files_below(inbox)] in ([], [".ocrd-tree"])
        assert {path.name for path in files_below(outbox)} - {".ocrd-tree"} == {
            Path(name).name for name in BUNDLE
        }


def test_no_descriptor_stays_open(mounts_of_their_own: World) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for scenario in SCENARIOS[::4]:
        fail_at_every_step(mounts_of_their_own, scenario, WithoutExclusiveRename(), errno.EIO)
    assert set(os.listdir("/proc/self/fd")) <= before


def fill(ballast: Path) -> None:
    """Write until there is no space left."""
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
