"""A document of several files is one original: it comes, goes and comes back as one."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import SourceChangedError
from ocrd.job import Job, Place
from tests.unit.spool.mounts import needs_root
from tests.unit.spool.steps import Call, Hooked
from tests.unit.spool.world import MEMBERS, REPORT, TOKEN, World, joined_job_of, members_at

ODD = ("line\nbreak.jpg", os.fsdecode(b"broken \xff.jpg"), "x" * 251 + ".jpg", "..odd", "source")


@pytest.fixture
def world(near_or_far: World) -> World:
    return near_or_far


def claim(world: World, job: Job) -> Path:
    return world.spool().claim(job, world.tree("inbox") / job.source)


def test_members_of_any_name_come_in_and_go_out_unchanged(world: World) -> None:
    for name in ODD:
        world.drop(f"sub/{name}", name.encode("utf-8", "surrogateescape"))
    job = joined_job_of([world.tree("inbox") / "sub" / name for name in ODD], "sub/a pile")
    folder = claim(world, job)
    assert folder == world.spool().spooled(job)
    assert sorted(os.listdir(folder)) == sorted(ODD)
    world.spool().archive(job, world.tree("archive") / "sub" / "a pile")
    world.spool().finish(job)
    assert world.files() == {
        f"archive/sub/a pile/{name}": name.encode("utf-8", "surrogateescape") for name in ODD
    }


def claim_without(world: World, job: Job, call: str, name: str) -> SourceChangedError:
    """Claim while a person takes a file away just before the call that would take it."""
    taken: list[Path] = []

    def take_away(this: Call) -> None:
        source = Path(str(this.arguments[0]))
        if (this.name, source.name) == (call, name):
            source.unlink()
            taken.append(source)

    with pytest.raises(SourceChangedError) as caught:
        world.spool(Hooked(take_away)).claim(job, world.tree("inbox") / job.source)
    assert len(taken) == 1
    return caught.value


def test_a_member_taken_away_at_the_very_moment_sends_the_others_back(world: World) -> None:
    job = world.drop_joined("pile")
    assert claim_without(world, job, "rename", "scan_2.jpg").kind == "source-gone"
    assert world.files() == {"inbox/scan_1.jpg": MEMBERS["scan_1.jpg"]}


def test_so_does_one_that_is_taken_while_it_is_hidden_to_be_copied(far: World) -> None:
    job = far.drop_joined("pile")
    hidden = f".ocrd-{TOKEN}-2.claim"
    assert claim_without(far, job, "copy", hidden).kind == "source-gone"
    assert far.files() == {"inbox/scan_1.jpg": MEMBERS["scan_1.jpg"]}


@needs_root
def test_a_share_that_goes_in_the_middle_of_a_claim_gets_nothing_back_beneath_it(
    tmp_path: Path,
) -> None:
    """What went back by its path would lie under the mount point, where nobody sees it again."""
    world = World(tmp_path)
    inbox, server = world.tree("inbox"), tmp_path / "server"
    server.mkdir()
    inbox.mkdir()
    mount = ["mount", "--bind", str(server), str(inbox)]
    subprocess.run(mount, check=True)
    world.make()
    job = world.drop_joined("pile")
    (inbox / "scan_2.jpg").write_bytes(b"scanned again")
    hidden = f".ocrd-{TOKEN}-1.claim"

    def unmount(call: Call) -> None:
        if call.name == "copy" and Path(str(call.arguments[0])).name == hidden:
            subprocess.run(["umount", "--lazy", str(inbox)], check=True)

    with pytest.raises(SourceChangedError):
        world.spool(Hooked(unmount)).claim(job, inbox / "pile")
    assert os.listdir(inbox) == []
    kept = {path.name: path.read_bytes() for path in server.glob("scan*")}
    assert kept == {**MEMBERS, "scan_2.jpg": b"scanned again"}


def test_what_goes_back_overwrites_nothing(world: World) -> None:
    job = world.claimed_joined("pile")
    (world.tree("inbox") / "scan_1.jpg").write_bytes(b"a new scan")
    (world.spool().spooled(job) / "scan_2.jpg").write_bytes(b"written to")
    with pytest.raises(SourceChangedError):
        claim(world, job)
    assert world.files() == {
        "inbox/scan_1.jpg": b"a new scan",
        "inbox/scan_1 (2).jpg": MEMBERS["scan_1.jpg"],
        "inbox/scan_2.jpg": b"written to",
    }


def test_a_member_written_to_in_the_spool_is_noticed(world: World) -> None:
    job = world.claimed_joined()
    assert world.spool().unchanged(job)
    member = world.spool().spooled(job) / "scan_2.jpg"
    facts = member.stat()
    member.write_bytes(bytes(reversed(member.read_bytes())))
    os.utime(member, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert not world.spool().unchanged(job)


def test_the_archived_folder_can_be_opened_by_those_who_open_the_archive(world: World) -> None:
    job = world.drop_joined("pile")
    (world.tree("inbox") / "scan_1.jpg").chmod(0o640)
    claim(world, job)
    world.tree("archive").chmod(0o2775)
    world.spool().archive(job, world.tree("archive") / "pile")
    folder = world.tree("archive") / "pile"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2775
    assert stat.S_IMODE((folder / "scan_1.jpg").stat().st_mode) == 0o640


def test_it_comes_back_from_failed_with_what_a_person_laid_beside_it(world: World) -> None:
    job = world.claimed_joined("pile")
    target = world.tree("failed") / "pile"
    world.spool().fail(job, target, REPORT)
    world.spool().finish(job)
    (target / "note.txt").write_bytes(b"page 2 is upside down")
    again = replace(job, place=Place.FAILED, failed_to=str(target))
    world.spool().claim(again, target)
    assert world.visible() == {}
    world.spool().archive(job, world.tree("archive") / "pile")
    kept = {"archive/pile/note.txt": b"page 2 is upside down"}
    assert world.visible() == members_at("archive/pile") | kept


def test_a_folder_in_failed_that_lacks_a_member_stays_there(world: World) -> None:
    job = world.drop_joined("pile", tree="failed")
    folder = world.tree("failed") / "pile"
    (folder / "scan_1.jpg").unlink()
    with pytest.raises(SourceChangedError):
        world.spool().claim(replace(job, place=Place.FAILED, failed_to=str(folder)), folder)
    assert world.files() == {"failed/pile/scan_2.jpg": MEMBERS["scan_2.jpg"]}


@pytest.mark.parametrize("kept_record", [True, False])
def test_an_orphans_members_go_back_each_to_its_name(world: World, *, kept_record: bool) -> None:
    """Without a record nothing tells of folders; the names are the members' own all the same."""
    job = world.claimed_joined("a/pile" if kept_record else "pile")
    if not kept_record:
        (world.spool().spooled(job).parent / "job.json").unlink()
    (orphan,) = world.spool().orphans()
    told = orphan.record.found.members if orphan.record else None
    assert told == (job.members if kept_record else None)
    world.spool().put_back(orphan, world.tree("inbox"))
    assert world.files() == members_at("inbox/a" if kept_record else "inbox")


def test_an_orphan_that_was_claimed_by_half_is_put_back_whole(world: World) -> None:
    """Killed with one member in the spool and, between file systems, another one hidden."""
    job = world.drop_joined("a/pile")

    def stop(call: Call) -> None:
        name = Path(str(call.arguments[0])).name
        if (call.name, name) in (("copy", f".ocrd-{TOKEN}-2.claim"), ("fsync_file", "scan_1.jpg")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.spool(Hooked(stop)).claim(job, world.tree("inbox") / "a" / "pile")
    assert world.visible() == {}
    (orphan,) = world.spool().orphans()
    world.spool().put_back(orphan, world.tree("inbox"))
    assert world.files() == members_at("inbox/a")


def test_an_orphan_hidden_in_failed_is_put_back_as_well(far: World) -> None:
    job = far.drop_joined("pile", tree="failed")
    folder = far.tree("failed") / "pile"

    def stop(call: Call) -> None:
        if call.name == "copy":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        far.spool(Hooked(stop)).claim(replace(job, place=Place.FAILED), folder)
    assert far.visible() == {}
    (orphan,) = far.spool().orphans()
    far.spool().put_back(orphan, far.tree("inbox"))
    assert far.files() == members_at("inbox")
