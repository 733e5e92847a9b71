"""An original is claimed if it is what was recorded, and is left where it was if it is not."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import OcrdError, SourceChangedError
from ocrd.files import Disk
from ocrd.job import Job, Place
from tests.support.impostors import link, pipe
from tests.unit.spool.steps import Call, Hooked
from tests.unit.spool.world import ORIGINAL, REPORT, World


@pytest.fixture
def world(near_or_far: World) -> World:
    return near_or_far


def claim(world: World, job: Job, disk: Disk | None = None) -> Path:
    return world.spool(disk).claim(job, world.tree("inbox") / job.source)


@pytest.mark.parametrize("source", ["sub/scan.pdf", "sub/dir/scan.pdf"])
def test_what_lies_behind_a_link_in_the_inbox_is_not_taken(world: World, source: str) -> None:
    """The folder was moved away, and a link left in its place."""
    job = world.drop(source)
    kept = world.tree("inbox") / ".elsewhere"
    (world.tree("inbox") / "sub").rename(kept)
    (world.tree("inbox") / "sub").symlink_to(kept)
    with pytest.raises(SourceChangedError) as caught:
        claim(world, job)
    assert caught.value.kind == "source-gone"
    assert (kept / source.removeprefix("sub/")).read_bytes() == ORIGINAL


def test_a_file_that_was_refused_is_not_claimed_before_it_has_been_read(world: World) -> None:
    job = replace(world.drop("scan.pdf"), sha256="")
    with pytest.raises(SourceChangedError) as caught:
        claim(world, job)
    assert caught.value.kind == "source-changed"
    assert world.files() == {"inbox/scan.pdf": ORIGINAL}


def test_a_folder_in_the_place_of_a_file_is_not_touched(world: World) -> None:
    job = world.drop("scan")
    (world.tree("inbox") / "scan").unlink()
    world.drop("scan/page.jpg", b"a page")
    moved: list[Call] = []

    def watch(call: Call) -> None:
        if call.name.startswith("rename"):
            moved.append(call)

    with pytest.raises(SourceChangedError) as caught:
        claim(world, job, Hooked(watch))
    assert caught.value.kind == "source-gone"
    assert [call for call in moved if "inbox" in str(call.arguments[0])] == []
    assert world.files() == {"inbox/scan/page.jpg": b"a page"}


def test_an_inbox_that_is_a_link_itself_is_one_all_the_same(world: World) -> None:
    job = world.drop("sub/scan.pdf")
    (world.root / "scanner").symlink_to(world.tree("inbox"))
    path = world.spool().claim(job, world.root / "scanner" / "sub" / "scan.pdf")
    assert path.read_bytes() == ORIGINAL


def test_the_group_may_see_how_things_stand_and_jobs_files_are_nobody_elses(world: World) -> None:
    job = world.claimed()
    spool = world.root / ".ocrd"
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (spool, spool / "jobs")]
    assert modes == [0o750, 0o700]
    assert stat.S_IMODE(world.spool().spooled(job).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "name",
    [
        "line\nbreak.pdf",
        os.fsdecode(b"broken \xff\xfe utf-8.pdf"),
        "扫描件.pdf",
        "x" * 251 + ".pdf",
        "no extension",
        "odd.ext\nension",
        "many.dots.tar.gz",
        "-rf.pdf",
    ],
    ids=["newline", "bytes", "chinese", "255-bytes", "bare", "odd", "dots", "dash"],
)
def test_any_name_comes_in_and_goes_out_unchanged(world: World, name: str) -> None:
    job = world.drop(f"sub/{name}")
    spooled = claim(world, job)
    assert os.fsencode(spooled.name).isascii()
    record = json.loads((spooled.parent / "job.json").read_bytes())
    assert "\n" not in record["source_shown"]
    world.spool().archive(job, world.tree("archive") / "sub" / name)
    world.spool().finish(job)
    assert world.files() == {f"archive/sub/{name}": ORIGINAL}


@pytest.mark.parametrize("joined", [False, True])
def test_a_second_claim_gives_the_same_path(world: World, *, joined: bool) -> None:
    job = world.drop_joined() if joined else world.drop("today/scan.PDF")
    first = claim(world, job)
    assert first == world.spool().spooled(job)
    assert first.name == ("source" if joined else "source.pdf")
    assert claim(world, job) == first
    assert claim(world, replace(job, place=Place.SPOOL, attempts=2)) == first


def test_a_file_that_was_taken_away_is_gone(world: World) -> None:
    job = world.drop("scan.pdf")
    (world.tree("inbox") / "scan.pdf").unlink()
    with pytest.raises(SourceChangedError) as caught:
        claim(world, job)
    assert caught.value.kind == "source-gone"
    assert world.files() == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(ORIGINAL.replace(b"PDF", b"pdf")),
        lambda path: path.write_bytes(ORIGINAL + b"page 2"),
        lambda path: os.utime(path, ns=(1, 1)),
        link,
        pipe,
    ],
    ids=["rewritten", "grown", "touched", "a link", "a pipe"],
)
def test_what_is_no_longer_what_was_recorded_stays_in_the_inbox(
    world: World, change: Callable[[Path], object]
) -> None:
    job = world.drop("scan.pdf")
    path = world.tree("inbox") / "scan.pdf"
    change(path)
    facts = path.lstat()
    with pytest.raises(SourceChangedError) as caught:
        claim(world, job)
    assert caught.value.kind == "source-changed"
    now = path.lstat()
    assert (now.st_ino, now.st_mode, now.st_size) == (facts.st_ino, facts.st_mode, facts.st_size)
    assert (world.temporaries(), world.spooled()) == ([], [])


def test_an_equal_copy_in_its_place_is_as_good(world: World) -> None:
    """Some programs write a new file and rename it over the old one; the bytes decide."""
    job = world.drop("scan.pdf")
    path = world.tree("inbox") / "scan.pdf"
    twin = path.with_name("twin")
    twin.write_bytes(ORIGINAL)
    twin.replace(path)
    assert claim(world, job).read_bytes() == ORIGINAL


def test_a_changed_file_whose_name_is_taken_meanwhile_gets_the_next(world: World) -> None:
    """A scanner drops a new file between the rename and the look at what was renamed."""
    job = world.drop("scan.pdf", b"what was recorded")
    path = world.tree("inbox") / "scan.pdf"
    path.write_bytes(b"the second scan")

    def scan_again(call: Call) -> None:
        if call.name == "lstat" and not path.exists():
            path.write_bytes(b"the third scan")

    with pytest.raises(SourceChangedError):
        claim(world, job, Hooked(scan_again))
    assert world.files() == {
        "inbox/scan.pdf": b"the third scan",
        "inbox/scan (2).pdf": b"the second scan",
    }


def test_a_file_dropped_while_the_original_is_copied_is_left_alone(far: World) -> None:
    job = far.drop("scan.pdf")

    def drop_again(call: Call) -> None:
        if call.name == "copy":
            (far.tree("inbox") / "scan.pdf").write_bytes(b"the next scan")

    claim(far, job, Hooked(drop_again))
    assert far.visible() == {"inbox/scan.pdf": b"the next scan"}
    assert far.temporaries() == []


def test_an_original_that_is_written_to_while_it_is_copied_goes_back(far: World) -> None:
    job = far.drop("scan.pdf")
    with (far.tree("inbox") / "scan.pdf").open("r+b") as writer:

        def write(call: Call) -> None:
            if call.name == "digest":
                writer.write(b"%pdf")
                writer.flush()

        with pytest.raises(SourceChangedError):
            claim(far, job, Hooked(write))
    assert far.visible() == {"inbox/scan.pdf": b"%pdf" + ORIGINAL[4:]}
    assert (far.temporaries(), far.spooled()) == ([], [])


def test_bytes_that_change_under_the_recorded_size_and_time_are_noticed(world: World) -> None:
    """By a program that had it open before, say; and an SMB client may set the time."""
    job = world.drop("scan.pdf")
    spooled = claim(world, job)
    assert world.spool().unchanged(job)
    content = bytearray(ORIGINAL)
    content[100] ^= 1
    spooled.write_bytes(content)
    os.utime(spooled, ns=(job.mtime_ns, job.mtime_ns))
    assert not world.spool().unchanged(job)
    spooled.unlink()
    assert not world.spool().unchanged(job)


def test_a_claim_repeated_after_a_crash_leaves_the_report_of_one_that_failed_since(
    world: World,
) -> None:
    target = world.tree("failed") / "scan.pdf"
    job = replace(world.drop("scan.pdf", tree="failed"), place=Place.FAILED)
    world.spool().claim(job, target)  # then a crash: the ledger does not know
    other = b"failed while the first waited to go on"
    world.drop("scan.pdf", other, tree="failed")
    world.drop("scan.pdf.error.json", REPORT, tree="failed")
    assert world.spool().claim(job, target).read_bytes() == ORIGINAL
    assert world.visible() == {"failed/scan.pdf": other, "failed/scan.pdf.error.json": REPORT}


def test_a_report_beside_a_file_in_an_inbox_is_a_file_like_any_other(world: World) -> None:
    job = world.drop("scan.pdf")
    world.drop("scan.pdf.error.json", b"{}")
    claim(world, job)
    assert world.visible() == {"inbox/scan.pdf.error.json": b"{}"}


def test_a_claim_where_the_inbox_folder_is_removed_at_once_succeeds(world: World) -> None:
    job = world.drop("sub/scan.pdf")

    def tidy(call: Call) -> None:
        folder = world.tree("inbox") / "sub"
        if call.name == "fsync_file" and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()

    assert claim(world, job, Hooked(tidy)).read_bytes() == ORIGINAL


def test_an_original_in_the_spool_is_never_thrown_away(world: World) -> None:
    job = world.claimed("scan.pdf")
    with pytest.raises(OcrdError, match="still in the spool"):
        world.spool().finish(job)
    assert ORIGINAL in world.files().values()
