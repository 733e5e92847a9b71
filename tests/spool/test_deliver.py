"""Bundles are published and originals filed: under free names, and open to whom they concern."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ocrd.errors import OcrdError, SourceChangedError
from ocrd.spool import report_path
from tests.spool.children import NOBODY, as_nobody, give_to_nobody, nobodys_world
from tests.spool.mounts import bound, needs_root
from tests.spool.steps import Call, Hooked, WithoutExclusiveRename
from tests.spool.world import ORIGINAL, REPORT, World, bundle_at

__all__ = ["nobodys_world"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.make()
    return world


def test_a_bundle_is_seen_whole_or_not_at_all(world: World) -> None:
    job = world.bundled()
    seen: list[set[str]] = []

    def look(_call: Call) -> None:
        seen.append(set(world.visible()))

    target = world.tree("outbox") / "letters" / "scan"
    world.spool(Hooked(look)).publish(job, target)
    assert world.visible() == bundle_at("outbox/letters/scan")
    assert [files for files in seen if files and files != set(world.visible())] == []


def test_a_bundle_that_was_not_sealed_is_not_published(world: World) -> None:
    job = world.claimed()
    (world.spool().new_bundle(job) / "scan.md").write_bytes(b"half")
    with pytest.raises(OcrdError, match="sealed"):
        world.spool().publish(job, world.tree("outbox") / "scan")
    assert world.visible() == {}


def test_building_anew_takes_the_seal_away(world: World) -> None:
    job = world.bundled()
    world.spool().new_bundle(job)
    with pytest.raises(OcrdError, match="sealed"):
        world.spool().publish(job, world.tree("outbox") / "scan")


@needs_root
@pytest.mark.parametrize("then", ["built anew", "failed"])
def test_a_publication_given_up_leaves_nothing_in_the_outbox(tmp_path: Path, then: str) -> None:
    """Killed while the bundle was copied to the outbox, on another file system."""
    world = World(tmp_path)
    with bound(world.tree("outbox")):
        world.make()
        job = world.bundled()

        def stop(call: Call) -> None:
            if call.name == "fsync_file" and "outbox" in call.arguments[0].parts:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            world.spool(Hooked(stop)).publish(job, world.tree("outbox") / "scan")
        assert world.temporaries() != []
        if then == "built anew":
            world.spool().new_bundle(job)
        else:
            world.spool().fail(job, world.tree("failed") / "scan.pdf", REPORT)
            world.spool().finish(job)
        assert world.temporaries() == []


def test_a_bundle_taken_out_of_the_outbox_at_once_is_not_missed(world: World) -> None:
    """A kill before the ledger knew; a reader was quicker than the next start."""
    job = world.bundled()
    target = world.tree("outbox") / "scan"
    world.spool().publish(job, target)
    target.rename(world.root / "taken")
    world.spool().publish(job, target)
    assert not target.exists()


def test_a_bundle_whose_name_is_taken_gets_the_next(world: World) -> None:
    job = world.bundled()
    target = world.tree("outbox") / "scan"
    target.mkdir()
    with pytest.raises(FileExistsError):
        world.spool().publish(job, target)
    free = world.spool().free_name(world.tree("outbox"), "scan", is_dir=True)
    assert free == world.tree("outbox") / "scan (2)"
    world.spool().publish(job, free)
    assert world.visible() == bundle_at("outbox/scan (2)")


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
    assert spool.free_name(folder, "scan.pdf", also_taken={"scan (3).pdf"}).name == "scan (4).pdf"
    (folder / "v1.2").mkdir()
    assert spool.free_name(folder, "v1.2", is_dir=True).name == "v1.2 (2)"


def test_a_free_name_of_the_longest_name_can_be_made(world: World) -> None:
    name = "字" * 83 + "ab.pdf"
    assert len(os.fsencode(name)) == 255
    (world.tree("archive") / name).touch()
    world.spool().free_name(world.tree("archive"), name).touch()
    assert len(os.listdir(world.tree("archive"))) == 2


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
    made = sorted(outbox.rglob("*"))
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
    assert as_nobody(lambda: world.spool().archive(job, target)) == 0
    assert [mode(archive / name) for name in ("a", "a/b")] == [0o2755, 0o2755]
    assert {(archive / name).stat().st_gid for name in ("a", "a/b")} == {100}
