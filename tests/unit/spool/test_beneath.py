"""Whoever may write in a tree leads nothing out of it: no link is followed, at no step."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ocrd.errors import OcrdError, PlaceError, SourceChangedError
from ocrd.files import Disk
from ocrd.job import Place
from ocrd.spool.expiry import Fate
from ocrd.spool.tree import make_folders
from tests.support.needs import everything
from tests.unit.spool.steps import Call, Hooked
from tests.unit.spool.world import ORIGINAL, STEPS, World, bundle_at

SECRET = b"what the personnel office keeps"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """`hr` is what nobody else's jobs may touch."""
    world = World(tmp_path)
    world.make()
    (tmp_path / "hr").mkdir()
    (tmp_path / "hr" / "scan.pdf").write_bytes(SECRET)
    return world


def plant(world: World, place: str) -> None:
    """A folder in a tree becomes a link to `hr`; what it held is kept beside it."""
    path = world.root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.rename(path.with_name(".kept"))
    path.symlink_to(world.root / "hr")


def hr(world: World) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (world.root / "hr").iterdir()}


def test_a_retry_takes_nothing_through_a_link_in_failed(world: World) -> None:
    """`failed/scans/sub` leads to `archive/hr`, which holds a file of that name."""
    job = world.drop("sub/scan.pdf", SECRET, tree="failed")
    plant(world, "failed/sub")
    with pytest.raises(SourceChangedError) as caught:
        world.spool().claim(replace(job, place=Place.FAILED), world.tree("failed") / job.source)
    assert caught.value.kind == "source-gone"
    assert hr(world) == {"scan.pdf": SECRET}


@pytest.mark.parametrize("call", ["lstat", "mkdir", "rename", "fsync_dir"])
def test_nor_does_a_claim_when_the_folder_is_swapped_between_two_steps(
    world: World, call: str
) -> None:
    job = world.drop("sub/scan.pdf", SECRET)
    done: list[str] = []

    def swap(this: Call) -> None:
        if this.name == call and not done:
            done.append(call)
            plant(world, "inbox/sub")

    with pytest.raises(OcrdError):
        world.spool(Hooked(swap)).claim(job, world.tree("inbox") / job.source)
    assert done
    assert hr(world) == {"scan.pdf": SECRET}


def test_a_swap_at_any_moment_takes_nothing(world: World) -> None:
    """Another thread swaps a folder and a link to `hr` as fast as it can."""
    inbox = world.tree("inbox")
    (inbox / "link").symlink_to(world.root / "hr")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for one, other in (("sub", "away"), ("link", "sub"), ("sub", "link"), ("away", "sub")):
                (inbox / one).rename(inbox / other)

    with ThreadPoolExecutor() as pool:
        for number in range(60 if everything() else 20):
            job = world.drop("sub/scan.pdf", SECRET)
            job = replace(job, token=f"{number:04x}")
            swapping = pool.submit(swap)
            try:
                world.spool().claim(job, inbox / job.source)
            except OcrdError:
                pass
            finally:
                over.set()
                swapping.result()
                over.clear()
            assert hr(world) == {"scan.pdf": SECRET}


@pytest.mark.parametrize("tree", STEPS)
def test_nothing_is_put_behind_a_link(world: World, tree: str) -> None:
    job = world.bundled()
    place = world.tree(tree) / "letters" / "new"
    plant(world, f"{tree}/letters")
    with pytest.raises(PlaceError) as caught:
        STEPS[tree](world.spool(), job, place)
    assert (caught.value.kind, caught.value.path) == ("blocked", place.parent)
    assert hr(world) == {"scan.pdf": SECRET}
    free = world.spool().free_name(place.parent, "new")
    assert free == world.tree(tree) / "letters (2)" / "new"


@pytest.mark.parametrize("call", ["mkdir", "fsync_dir", "rename_exclusive"])
def test_nor_when_the_link_comes_at_the_last_moment(world: World, call: str) -> None:
    job = world.bundled()
    (world.tree("outbox") / "letters").mkdir()
    target = world.tree("outbox") / "letters" / "2026" / "scan"

    def swap(this: Call) -> None:
        if this.name == call and not (world.tree("outbox") / "letters").is_symlink():
            plant(world, "outbox/letters")

    with pytest.raises(OcrdError):
        world.spool(Hooked(swap)).publish(job, target)
    assert hr(world) == {"scan.pdf": SECRET}


def test_an_orphan_is_not_put_back_behind_a_link(world: World) -> None:
    world.claimed("sub/scan.pdf")
    (world.tree("inbox") / "sub").rmdir()
    plant(world, "inbox/sub")
    (orphan,) = world.spool().orphans()
    with pytest.raises(PlaceError):
        world.spool().put_back(orphan, world.tree("inbox"))
    assert hr(world) == {"scan.pdf": SECRET}


def test_nothing_is_deleted_behind_a_link_in_the_archive(world: World) -> None:
    job = world.drop("sub/scan.pdf", SECRET, tree="archive")
    plant(world, "archive/sub")
    archive = world.tree("archive")
    filed = replace(job, archived_to=str(archive / "sub/scan.pdf"))
    assert world.spool().expire(filed, archive) is Fate.OUTSIDE
    assert hr(world) == {"scan.pdf": SECRET}


def test_a_tree_may_be_a_link_itself(world: World) -> None:
    """Where results go is the operator's choice."""
    outbox = world.tree("outbox")
    outbox.rename(world.root / "big disk")
    outbox.symlink_to(world.root / "big disk")
    world.spool().publish(world.bundled(), outbox / "letters" / "scan")
    assert (world.root / "big disk" / "letters" / "scan" / "scan.md").exists()


def test_a_path_longer_than_the_kernel_takes_at_once_is_filed(world: World) -> None:
    parts = ["d" * 250] * 16
    folder = os.open(world.tree("inbox"), os.O_RDONLY)
    for part in parts:
        os.mkdir(part, dir_fd=folder)
        inner = os.open(part, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    content = os.open("scan.pdf", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
    os.write(content, ORIGINAL)
    model = world.drop("scan.pdf")
    facts = os.fstat(content)
    os.close(content)
    os.close(folder)
    source = "/".join((*parts, "scan.pdf"))
    job = replace(model, source=source, mtime_ns=facts.st_mtime_ns, inode=facts.st_ino)
    spool = world.spool()
    assert spool.claim(job, world.tree("inbox") / source).read_bytes() == ORIGINAL
    target = world.tree("archive") / source
    spool.archive(job, target)
    disk = Disk()
    disk.know(world.tree("archive"))
    assert disk.open(target).read() == ORIGINAL
    spool.finish(job)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG])
@pytest.mark.parametrize("call", ["mkdir", "rename_exclusive"])
def test_a_name_that_the_target_refuses_is_told_with_its_path(
    tmp_path: Path, call: str, code: int
) -> None:
    """exFAT answers EINVAL for `a:b`, and whatever is tried instead fails likewise."""
    world = World(tmp_path)
    world.make()
    job = world.bundled()
    place = world.tree("outbox") / "ten:30" / "scan:1"
    refused = place.parent if call == "mkdir" else place

    def refuse(this: Call) -> None:
        if this.name in ("mkdir", "rename_exclusive", "rename") and this.arguments[-1] == refused:
            raise OSError(code, os.strerror(code), str(this.arguments[0]), None, str(refused))
        if this.name == "mkdir" and this.arguments[0] == refused:
            raise OSError(code, os.strerror(code), str(refused))

    with pytest.raises(PlaceError) as caught:
        world.spool(Hooked(refuse)).publish(job, place)
    assert (caught.value.kind, caught.value.path) == ("invalid-name", refused)
    assert world.visible() == {}
    world.spool().publish(job, world.tree("outbox") / "scan")
    assert world.visible() == bundle_at("outbox/scan")


def test_a_folder_that_another_job_makes_at_once_is_no_obstacle(tmp_path: Path) -> None:
    """It appears between any two looks."""
    folder = tmp_path / "outbox" / "new"
    for at in range(6):
        world = World(tmp_path)
        world.make()

        def appear(call: Call, at: int = at) -> None:
            if call.number == at:
                folder.mkdir(exist_ok=True)

        free = world.spool(Hooked(appear)).free_name(folder, "scan", is_dir=True)
        assert free == folder / "scan", at


def test_folders_made_by_many_jobs_at_once_are_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.make()
    spool = world.spool()

    def place(number: int, round_: int) -> None:
        folder = world.tree("outbox") / f"new {round_}" / "deep"
        target = spool.free_name(folder, f"scan {number}", is_dir=True)
        disk = Disk()
        disk.know(world.tree("outbox"))
        make_folders(target.parent, disk)

    with ThreadPoolExecutor(8) as pool:
        for round_ in range(40):
            list(pool.map(partial(place, round_=round_), range(8)))
    made = sorted(path.name for path in world.tree("outbox").glob("new*"))
    assert made == sorted(f"new {number}" for number in range(40))


def test_an_original_that_is_in_its_inbox_and_in_the_spool_is_one(tmp_path: Path) -> None:
    """btrfs may show the claim's rename under both names after a power cut."""
    world = World(tmp_path)
    world.make()
    job = world.drop("scan.pdf")
    spooled = world.spool().claim(job, world.tree("inbox") / "scan.pdf")
    os.link(spooled, world.tree("inbox") / "scan.pdf")
    assert world.spool().claim(job, world.tree("inbox") / "scan.pdf") == spooled
    assert world.visible() == {}
    os.link(spooled, world.tree("archive") / "scan.pdf")
    world.spool().archive(job, world.tree("archive") / "scan.pdf")
    world.spool().finish(job)
    assert world.files() == {"archive/scan.pdf": ORIGINAL}


def test_a_name_that_the_kernel_cannot_be_asked_for_leaves_nothing_open(tmp_path: Path) -> None:
    disk = Disk()
    disk.know(tmp_path)
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(UnicodeEncodeError):
            disk.lstat(tmp_path / "\ud800" / "scan.pdf")
    assert os.listdir("/proc/self/fd") == before


def test_a_folder_that_is_held_stays_the_one_worked_in_though_a_link_takes_its_place(
    world: World,
) -> None:
    disk = Disk()
    disk.know(world.tree("outbox"))
    folder = world.tree("outbox") / "scans"
    folder.mkdir()
    with disk.hold(folder):
        plant(world, "outbox/scans")
        disk.write(folder / "scan.md", b"words")
        disk.fsync_dir(folder)
        assert disk.lstat(folder / "scan.pdf") is None
    assert (folder.with_name(".kept") / "scan.md").read_bytes() == b"words"
    assert [path.name for path in (world.root / "hr").iterdir()] == ["scan.pdf"]
    with pytest.raises(NotADirectoryError), disk.hold(folder):
        pass
    with pytest.raises(NotADirectoryError):
        disk.write(folder / "scan.md", b"words")


def test_a_folder_and_what_was_mounted_over_it_are_made_durable_each_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread still holds what another no longer sees, and both ask at the same time."""
    outbox = world.tree("outbox")
    disk = Disk()
    disk.know(outbox)
    inodes, fsync, began = set[int](), os.fsync, threading.Barrier(2)

    def seen(descriptor: int) -> None:
        inodes.add(os.fstat(descriptor).st_ino)
        began.wait(10)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    with disk.hold(outbox):
        outbox.rename(world.root / "beneath")
        outbox.mkdir()
        other = threading.Thread(target=disk.fsync_dir, args=[outbox])
        other.start()
        disk.fsync_dir(outbox)
        other.join()
    assert inodes == {each.stat().st_ino for each in (outbox, world.root / "beneath")}
