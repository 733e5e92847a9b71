"""Bundles are published and originals filed: under free names, and open to whom they concern."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from ocrd.config.ownership import Ownership
from ocrd.errors import OcrdError, PlaceError, SourceChangedError
from ocrd.job import Job
from ocrd.spool.names import report as report_path
from ocrd.spool.trees import MARKER
from tests.support.needs import slow
from tests.support.nobody import NOBODY, as_nobody
from tests.unit.spool.children import give_to_nobody
from tests.unit.spool.mounts import bound, needs_root
from tests.unit.spool.steps import Call, Hooked, WithoutExclusiveRename, dying
from tests.unit.spool.world import ORIGINAL, REPORT, World, bundle_at


def test_a_bundle_is_seen_whole_or_not_at_all(world: World) -> None:
    job = world.bundled()
    seen: list[set[str]] = []

    def look(_call: Call) -> None:
        seen.append(set(world.visible()))

    target = world.tree("outbox") / "letters" / "scan"
    world.spool(Hooked(look)).publish(job, target)
    assert world.visible() == bundle_at("outbox/letters/scan")
    assert [files for files in seen if files and files != set(world.visible())] == []


def test_building_anew_takes_the_seal_away(world: World) -> None:
    job = world.bundled()
    world.spool().new_bundle(job)
    with pytest.raises(OcrdError, match="sealed"):
        world.spool().publish(job, world.tree("outbox") / "scan")


@pytest.mark.parametrize("then", ["built anew", "failed"])
def test_a_publication_given_up_leaves_nothing_in_the_outbox(far: World, then: str) -> None:
    """Killed while the bundle was copied to the outbox, on another file system."""
    job = far.bundled()

    def stop(call: Call) -> None:
        if call.name == "fsync_file" and "outbox" in call.arguments[0].parts:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        far.spool(Hooked(stop)).publish(job, far.tree("outbox") / "scan")
    assert far.temporaries() != []
    if then == "built anew":
        far.spool().new_bundle(job)
    else:
        far.spool().fail(job, far.tree("failed") / "scan.pdf", REPORT)
        far.spool().finish(job)
    assert far.temporaries() == []


def test_a_bundle_taken_out_of_the_outbox_at_once_is_not_missed(world: World) -> None:
    """A kill before the ledger knew; a reader was quicker than the next start."""
    job = world.bundled()
    target = world.tree("outbox") / "scan"
    world.spool().publish(job, target)
    target.rename(world.root / "taken")
    world.spool().publish(job, target)
    assert not target.exists()


def test_an_original_that_is_nowhere_is_told_as_gone(world: World) -> None:
    job = world.claimed()
    world.spool().spooled(job).unlink()
    with pytest.raises(SourceChangedError) as caught:
        world.spool().archive(job, world.tree("archive") / "scan.pdf")
    assert caught.value.kind == "source-gone"
    with pytest.raises(SourceChangedError) as caught:
        world.spool().fail(job, world.tree("failed") / "scan.pdf", REPORT)
    assert caught.value.kind == "source-gone"


def test_archiving_again_after_everything_was_done_succeeds(world: World) -> None:
    job = world.claimed()
    target = world.tree("archive") / "scan.pdf"
    world.spool().archive(job, target)
    world.spool().finish(job)
    world.spool().archive(job, target)
    assert world.files() == {"archive/scan.pdf": ORIGINAL}


def test_a_failed_original_needs_both_names_free(world: World) -> None:
    """A person moved the original out of failed/ by hand and left the reason behind."""
    job = world.claimed()
    left = world.tree("failed") / "scan.pdf.error.json"
    left.write_bytes(b"an old reason")
    with pytest.raises(FileExistsError):
        world.spool().fail(job, world.tree("failed") / "scan.pdf", REPORT)
    target = world.spool().free_name(world.tree("failed"), "scan.pdf")
    world.spool().fail(job, target, REPORT)
    assert world.visible() == {
        "failed/scan.pdf.error.json": b"an old reason",
        "failed/scan (2).pdf": ORIGINAL,
        "failed/scan (2).pdf.error.json": REPORT,
    }


def test_a_failure_half_told_stays_one_file_when_somebody_takes_the_reports_name(
    world: World,
) -> None:
    """Killed between giving the original its name in failed/ and taking the one in the spool."""
    job = world.claimed("scan.pdf")
    target = world.tree("failed") / "scan.pdf"

    def stop(call: Call) -> None:
        if call.name == "unlink" and call.arguments[0] == world.spool().spooled(job):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        disk = Hooked(stop, WithoutExclusiveRename())
        world.spool(disk).fail(job, target, REPORT)
    report_path(target).write_bytes(b"somebody's")
    world.spool(WithoutExclusiveRename()).fail(job, target, REPORT)
    world.spool().finish(job)
    assert world.files() == {
        "failed/scan.pdf": ORIGINAL,
        "failed/scan.pdf.error.json": b"somebody's",
    }


@pytest.mark.parametrize("length", [243, 244, 245, 255])
def test_reports_of_long_names_fit_and_differ(world: World, length: int) -> None:
    names = ["ä" * ((length - 5) // 2) + "x" * ((length - 5) % 2) + f"{n}.pdf" for n in "12"]
    assert {len(os.fsencode(name)) for name in names} == {length}
    reports = [report_path(world.tree("failed") / name) for name in names]
    assert len(set(reports)) == 2
    for report in reports:
        report.touch()
        assert report.name.endswith(".error.json")
        report.name.encode()  # no character was cut in two


def test_a_file_of_the_longest_name_fails_with_its_report(world: World) -> None:
    name = "x" * 251 + ".pdf"
    job = world.claimed(name)
    target = world.spool().free_name(world.tree("failed"), name)
    world.spool().fail(job, target, REPORT)
    world.spool().fail(job, target, REPORT)
    assert world.visible() == {
        f"failed/{name}": ORIGINAL,
        str(report_path(target).relative_to(world.root)): REPORT,
    }


# --- free names ---


def test_free_names_count_up(world: World) -> None:
    folder = world.tree("archive")
    spool = world.spool()
    assert spool.free_name(folder, "scan.pdf").name == "scan.pdf"
    (folder / "scan.pdf").touch()
    (folder / "scan (2).pdf").symlink_to("nowhere")
    assert spool.free_name(folder, "scan.pdf").name == "scan (3).pdf"
    (folder / "v1.2").mkdir()
    assert spool.free_name(folder, "v1.2", is_dir=True).name == "v1.2 (2)"


def test_a_file_where_a_folder_is_needed_numbers_the_folder(world: World) -> None:
    """inbox/letters was a file yesterday and is a folder today."""
    (world.tree("archive") / "letters").write_bytes(b"a file")
    (world.tree("archive") / "letters (2)").symlink_to("nowhere")
    target = world.spool().free_name(world.tree("archive") / "letters" / "may", "scan.pdf")
    assert target == world.tree("archive") / "letters (3)" / "may" / "scan.pdf"
    job = world.claimed()
    world.spool().archive(job, target)
    assert target.read_bytes() == ORIGINAL


def test_a_folder_blocked_at_the_last_moment_is_told_with_a_remedy(world: World) -> None:
    job = world.claimed()
    (world.tree("archive") / "letters").write_bytes(b"a file")
    with pytest.raises(OcrdError) as caught:
        world.spool().archive(job, world.tree("archive") / "letters" / "scan.pdf")
    assert (caught.value.kind, ORIGINAL in world.files().values()) == ("blocked", True)


# --- permissions ---


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_folders_have_the_mode_of_the_one_above(world: World) -> None:
    world.tree("archive").chmod(0o2775)
    job = world.claimed()
    before = os.umask(0o077)
    try:
        world.spool().archive(job, world.tree("archive") / "a" / "b" / "scan.pdf")
    finally:
        os.umask(before)
    assert [mode(world.tree("archive") / name) for name in ("a", "a/b")] == [0o2775, 0o2775]


@needs_root
def test_a_bundle_can_be_used_by_the_group_of_the_outbox(world: World) -> None:
    outbox = world.tree("outbox")
    os.chown(outbox, -1, 100)
    outbox.chmod(0o2770)
    job = world.bundled()
    world.spool().publish(job, outbox / "letters" / "scan")
    made = sorted(outbox.glob("letters/**/*"))
    assert {path.stat().st_gid for path in made} == {100}
    assert {mode(path) for path in made if path.is_dir()} == {0o2770}
    assert {mode(path) for path in made if path.is_file()} == {0o660}


def test_setgid_stays_where_the_daemon_is_not_of_the_group(nobodys_world: World) -> None:
    """`chmod` by a stranger to the group would clear it."""
    world = nobodys_world
    archive = world.tree("archive")
    job = world.claimed()
    os.chown(archive, NOBODY, 100)
    archive.chmod(0o2775)
    give_to_nobody(world.root / ".ocrd")
    target = archive / "a" / "b" / "scan.pdf"
    assert as_nobody(lambda: world.spool().archive(job, target)) is None
    assert [mode(archive / name) for name in ("a", "a/b")] == [0o2755, 0o2755]
    assert {(archive / name).stat().st_gid for name in ("a", "a/b")} == {100}


# --- a group and a umask of the folder's own ---


TEAM = Ownership(group="team", gid=100, umask=0o027)
NOBODYS = Ownership(group="nogroup", gid=NOBODY, umask=0o007)


def rights(top: Path) -> set[tuple[int, int, bool]]:
    """Group, mode and kind of everything below a folder."""
    facts = [path.lstat() for path in top.rglob("*") if path.name != MARKER]
    return {(f.st_gid, stat.S_IMODE(f.st_mode), stat.S_ISDIR(f.st_mode)) for f in facts}


@needs_root
@pytest.mark.parametrize("elsewhere", [False, True], ids=["renamed", "copied"])
def test_results_and_originals_belong_to_the_group_that_is_asked_for(
    tmp_path: Path, *, elsewhere: bool
) -> None:
    world = World(tmp_path)
    with ExitStack() as stack:
        for tree in ("outbox", "archive", "failed"):
            world.tree(tree).mkdir()
            if elsewhere:
                stack.enter_context(bound(world.tree(tree)))
        world.make()
        for tree in ("outbox", "archive", "failed"):
            world.tree(tree).chmod(0o700)
        job = world.bundled()
        world.spool().spooled(job).chmod(0o600)
        world.spool().publish(job, world.tree("outbox") / "2026" / "scan", TEAM)
        world.spool().archive(job, world.tree("archive") / "2026" / "scan.pdf", TEAM)
        other = world.claimed()
        world.spool().fail(other, world.tree("failed") / "2026" / "scan.pdf", REPORT, TEAM)
        for tree in ("outbox", "archive", "failed"):
            assert rights(world.tree(tree)) == {(100, 0o640, False), (100, 0o2750, True)}
        assert (world.tree("archive") / "2026" / "scan.pdf").read_bytes() == ORIGINAL
        assert mode(world.tree("outbox")) == 0o700, "a folder that was there stays as it is"


@needs_root
@pytest.mark.parametrize(
    ("owner", "file", "folder"),
    [
        (Ownership(umask=0o002), (200, 0o664), (200, 0o2775)),
        (Ownership(group="t", gid=100), (100, 0o640), (100, 0o2750)),
    ],
    ids=["umask alone", "group alone"],
)
def test_what_is_not_asked_for_is_left_to_the_tree(
    world: World, owner: Ownership, file: tuple[int, int], folder: tuple[int, int]
) -> None:
    outbox = world.tree("outbox")
    os.chown(outbox, -1, 200)
    outbox.chmod(0o2750)
    world.spool().publish(world.bundled(), outbox / "a" / "scan", owner)
    assert rights(outbox) == {(*file, False), (*folder, True)}


def test_a_group_that_the_daemon_is_not_of_pauses_and_loses_nothing(nobodys_world: World) -> None:
    world = nobodys_world
    job = world.bundled()
    target = world.tree("outbox") / "scan"
    for tree in ("outbox", "archive", "failed", ".ocrd"):
        give_to_nobody(world.root / tree)

    def refused(act: Callable[[], None]) -> None:
        with pytest.raises(PlaceError) as caught:
            act()
        assert caught.value.kind == "not-in-group"
        assert "usermod -aG team ocrd" in caught.value.hint

    def act() -> None:
        spool, archived = world.spool(), world.tree("archive") / "scan.pdf"
        refused(lambda: spool.publish(job, target, TEAM))
        refused(lambda: spool.archive(job, archived, TEAM))
        refused(lambda: spool.fail(job, world.tree("failed") / "scan.pdf", REPORT, TEAM))

    assert as_nobody(act) is None
    assert world.visible() == {}
    world.spool().publish(job, target, TEAM)
    world.spool().archive(job, world.tree("archive") / "scan.pdf", TEAM)
    assert world.visible() == bundle_at("outbox/scan") | {"archive/scan.pdf": ORIGINAL}


def test_an_original_of_another_user_is_filed_as_a_copy_that_is_ours(nobodys_world: World) -> None:
    """What came over SFTP belongs to its sender, whose mode only the sender could change."""
    world = nobodys_world
    job, target = strangers(world), world.tree("archive") / "scan.pdf"
    assert as_nobody(lambda: world.spool().archive(job, target, NOBODYS)) is None
    facts = target.stat()
    assert (facts.st_uid, facts.st_gid, mode(target)) == (NOBODY, NOBODY, 0o660)
    assert (target.read_bytes(), facts.st_mtime_ns) == (ORIGINAL, job.mtime_ns)


@slow
def test_a_kill_while_an_original_becomes_ours_is_mended_by_doing_it_again(
    nobodys_world: World,
) -> None:
    world = nobodys_world
    target = world.tree("archive") / "2026" / "scan.pdf"
    for number in itertools.count():
        world.make()
        job = strangers(world)
        dying_spool = world.spool(Hooked(dying(number)))
        with suppress(EOFError):  # killed before it could say anything
            as_nobody(partial(dying_spool.archive, job, target, NOBODYS))
            break
        assert list(world.files().values()).count(ORIGINAL) in (1, 2), number  # and a copy of it
        assert as_nobody(partial(world.spool().archive, job, target, NOBODYS)) is None
        assert as_nobody(partial(world.spool().finish, job)) is None
        assert world.files() == {"archive/2026/scan.pdf": ORIGINAL}, number
        assert (target.stat().st_uid, mode(target)) == (NOBODY, 0o660), number
    assert number > 20


def strangers(world: World) -> Job:
    """A claimed original of somebody who let the daemon only read it."""
    job = world.claimed()
    give_to_nobody(world.root / ".ocrd")
    give_to_nobody(world.tree("archive"))
    spooled = world.spool().spooled(job)
    os.chown(spooled, 1234, NOBODY)
    spooled.chmod(0o440)
    os.utime(spooled, ns=(job.mtime_ns, job.mtime_ns))
    return job


def test_a_sandbox_that_refuses_the_setgid_bit_stops_no_result(world: World) -> None:
    """systemd's RestrictSUIDSGID= answers EPERM to every chmod with that bit."""

    def refuse(call: Call) -> None:
        if call.name == "chmod" and call.arguments[1] & stat.S_ISGID:
            raise PermissionError(errno.EPERM, "refused", str(call.arguments[0]))

    ours = Ownership(group="ours", gid=os.getegid(), umask=0o007)
    job = world.bundled()
    world.spool(Hooked(refuse)).publish(job, world.tree("outbox") / "a" / "scan", ours)
    assert rights(world.tree("outbox")) == {
        (os.getegid(), 0o660, False),
        (os.getegid(), 0o770, True),
    }


@needs_root
def test_a_joined_original_is_the_groups_with_all_its_members(world: World) -> None:
    job = world.claimed_joined()
    world.spool().archive(job, world.tree("archive") / "scan", TEAM)
    assert rights(world.tree("archive")) == {(100, 0o640, False), (100, 0o2750, True)}
