"""The ledger is lost: what the spool holds tells whose it is, and goes back to its inbox."""

from __future__ import annotations

import base64
import errno
import itertools
import json
import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from ocrd.errors import PlaceError
from ocrd.files import Disk
from tests.unit.spool.children import in_a_child
from tests.unit.spool.mounts import bound, needs_root
from tests.unit.spool.steps import Call, Hooked, stopping
from tests.unit.spool.world import ORIGINAL, TOKEN, World, job_of


def test_an_orphan_tells_what_its_job_was(world: World) -> None:
    name = os.fsdecode(b"M\xe4rz\n.pdf")
    job = world.drop(f"2026/{name}")
    world.spool().claim(job, world.tree("inbox") / job.source)
    (orphan,) = world.spool().orphans()
    assert orphan.record is not None
    found = orphan.record.found
    assert (found.folder, found.source) == ("letters", job.source)
    assert (found.size, found.mtime_ns, found.inode) == (job.size, job.mtime_ns, job.inode)
    assert (found.sha256, found.priority) == (job.sha256, job.priority)
    assert (orphan.record.id, orphan.jobdir.token) == (job.id, job.token)
    assert orphan.record.created_at == job.created_at
    assert orphan.original is not None
    assert orphan.original.read_bytes() == ORIGINAL
    assert not orphan.sealed


def test_an_original_is_taken_once_it_is_gone_from_the_spool_and_not_when_nobody_can_see(
    world: World,
) -> None:
    class Failing(Disk):
        fails = False

        def lstat(self, path: Path) -> os.stat_result | None:
            if self.fails and path.name.startswith("source"):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            return super().lstat(path)

    world.claimed("scan.pdf")
    disk = Failing()
    spool = world.spool(disk)
    (orphan,) = spool.orphans()
    assert not spool.was_taken(orphan)
    disk.fails = True
    with pytest.raises(PlaceError):
        spool.was_taken(orphan)
    disk.fails = False
    assert orphan.original is not None
    orphan.original.rename(world.tree("inbox") / "scan.pdf")
    assert spool.was_taken(orphan)


@needs_root
def test_an_original_that_is_hidden_in_the_inbox_has_not_been_taken(world: World) -> None:
    """The spool has none of it yet: it comes from another file system, and a kill came between."""

    def before_copy(call: Call) -> None:
        if call.name == "copy":
            os.kill(os.getpid(), signal.SIGKILL)

    with bound(world.tree("inbox")):
        job, source = world.drop("scan.pdf"), world.tree("inbox") / "scan.pdf"
        killed = in_a_child(partial(world.spool(Hooked(before_copy)).claim, job, source))
        assert (killed, source.exists()) == (-signal.SIGKILL, False)
        spool = world.spool()
        (orphan,) = spool.orphans()
        assert (orphan.original, spool.was_taken(orphan)) == (None, False)
        spool.put_back(orphan, world.tree("inbox"))
        assert (world.tree("inbox") / "scan.pdf").read_bytes() == ORIGINAL


@pytest.mark.parametrize("others", [{}, {"inbox/a/b/scan.pdf": b"a new scan"}])
def test_a_put_back_original_lies_where_it_came_from_and_overwrites_nothing(
    world: World, others: dict[str, bytes]
) -> None:
    job = world.claimed("a/b/scan.pdf")
    (orphan,) = world.spool().orphans()
    (world.tree("inbox") / "a" / "b").rmdir()
    for name, content in others.items():
        world.drop(name.removeprefix("inbox/"), content)
    back = world.spool().put_back(orphan, world.tree("inbox"))
    assert back == world.tree("inbox") / "a" / "b" / ("scan (2).pdf" if others else "scan.pdf")
    assert world.files() == {f"{back.relative_to(world.root)}": ORIGINAL, **others}
    assert back.stat().st_mtime_ns == job.mtime_ns


def test_what_a_job_that_ended_left_behind_is_cleared_away(world: World) -> None:
    job = world.bundled()
    world.spool().archive(job, world.tree("archive") / "scan.pdf")
    (orphan,) = world.spool().orphans()
    assert (orphan.original, orphan.jobdir.has(orphan.jobdir.bundle)) == (None, True)
    assert world.spool().put_back(orphan, world.tree("inbox")) is None
    assert world.files() == {"archive/scan.pdf": ORIGINAL}


def test_an_orphan_whose_bundle_has_left_says_so(world: World) -> None:
    job = world.bundled()
    world.spool().publish(job, world.tree("outbox") / "scan")
    (orphan,) = world.spool().orphans()
    assert orphan.sealed and not orphan.jobdir.has(orphan.jobdir.bundle)
    assert orphan.original is not None


@pytest.mark.parametrize("damage", ["gone", "empty", "half", "../../etc/scan", "sub/scan\0"])
def test_an_original_without_a_usable_record_is_put_back_under_a_made_up_name(
    world: World, damage: str
) -> None:
    job = world.claimed("scan.pdf")
    record = world.spool().spooled(job).parent / "job.json"
    if damage == "gone":
        record.unlink()
    elif damage == "empty":
        record.write_bytes(b"")
    elif damage == "half":
        record.write_bytes(record.read_bytes()[:100])
    else:
        told = json.loads(record.read_bytes())
        source = base64.b64encode(damage.encode()).decode()
        record.write_text(json.dumps({**told, "source": source}))
    (orphan,) = world.spool().orphans()
    world.spool().put_back(orphan, world.tree("inbox"))
    assert world.files() == {f"inbox/7-{TOKEN}.pdf": ORIGINAL}


def test_a_folder_half_removed_still_tells_whose_it_was(world: World) -> None:
    """Killed anywhere in the removal: what is left can be cleared away without asking."""
    left = 0
    for at in itertools.count():
        world.make()
        job = world.bundled()
        world.spool().archive(job, world.tree("archive") / "scan.pdf")
        with suppress(KeyboardInterrupt):
            world.spool(Hooked(stopping(at))).finish(job)
            break
        orphans = world.spool().orphans()
        assert [orphan.record and orphan.record.token for orphan in orphans] in ([], [TOKEN])
        left += len(orphans)
    assert left > 5


def test_a_folder_that_was_just_being_made_goes(world: World) -> None:
    """Killed in `claim` before anything was taken: there is nothing that could be lost."""
    for at in itertools.count():
        world.make()
        job = world.drop("scan.pdf")
        source = world.tree("inbox") / "scan.pdf"
        with suppress(KeyboardInterrupt):
            world.spool(Hooked(stopping(at))).claim(job, source)
            break
        for orphan in world.spool().orphans():
            world.spool().put_back(orphan, world.tree("inbox"))
        assert world.files() == {"inbox/scan.pdf": ORIGINAL}
        assert list((world.root / ".ocrd" / "jobs").iterdir()) == []


def test_folders_that_are_not_ours_do_no_harm(world: World) -> None:
    stray = world.root / ".ocrd" / "jobs" / "somebody's notes"
    stray.mkdir()
    (stray / "note").write_bytes(b"remember")
    (orphan,) = world.spool().orphans()
    assert (orphan.original, orphan.record) == (None, None)


def test_jobs_are_told_apart_by_their_tokens(world: World) -> None:
    """A new ledger counts from 1 again."""
    for token, content in (("aa11", b"first"), ("bb22", b"second")):
        path = world.tree("inbox") / "scan.pdf"
        path.write_bytes(content)
        job = job_of(path, "scan.pdf", number=1, token=token)
        world.spool().claim(job, path)
    originals = [orphan.original for orphan in world.spool().orphans()]
    assert [path and path.read_bytes() for path in originals] == [b"first", b"second"]
