"""Shares that come and go.  bindfs stands in for a client's share: a FUSE mount of a local folder
which, like NFS and CIFS, never tells of what others do on the "server" behind it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ocrd.job import Cause
from ocrd.mounts import MARKER
from tests.support.needs import need
from tests.support.waiting import wait_for
from tests.unit.inbox.support import (
    Clock,
    FolderWatch,
    caught_up,
    drain,
    is_mounted,
    mount,
    mounted,
    paths,
    steps_until,
    unmount,
    until_waiting,
    watching,
)

SETTLE, POLL = 5, 10
# Without caches in the kernel: the tests' clock runs faster than they expire (after a second).
BINDFS = ("bindfs", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0,nonempty")
TIMES = {"settle_s": SETTLE, "rescan_s": POLL}


@pytest.fixture
def server(tmp_path: Path) -> Path:
    folder = tmp_path / "server"
    folder.mkdir()
    return folder


@pytest.fixture
def share(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    return folder


@contextmanager
def shared(server: Path, share: Path, clock: Clock, **options: Any) -> Iterator[FolderWatch]:
    """A watch of the share."""
    with (
        mounted(share, *BINDFS, str(server)),
        watching(share, clock, **TIMES, **options) as watch,
    ):
        yield watch


def paused(watch: FolderWatch, clock: Clock) -> Cause:
    """The condition that a second later keeps files from being taken."""
    clock.turn(1)
    assert drain(watch) == []
    assert watch.paused is not None
    return watch.paused


def test_a_file_written_on_the_server_is_found_by_polling(
    server: Path, share: Path, clock: Clock
) -> None:
    with shared(server, share, clock) as watch:
        assert watch.kind == "polling"
        assert not watch.conditions
        (server / "scan.pdf").write_bytes(b"scan")
        clock.turn(POLL)
        until_waiting(watch, 1)
        (server / "scan.pdf").write_bytes(b"scan, second page")
        clock.turn(SETTLE)
        assert drain(watch) == []
        clock.turn(SETTLE)
        assert paths(drain(watch)) == ["scan.pdf"]


def test_the_stand_in_does_not_tell_of_remote_changes(
    server: Path, share: Path, clock: Clock
) -> None:
    # Were it otherwise, the test above would show nothing.
    with shared(server, share, clock, watch="native") as watch:
        (server / "unheard.pdf").write_bytes(b"scan")
        (share / "heard.pdf").write_bytes(b"scan")
        caught_up(watch)
        assert watch.kind == "native"
        clock.turn(SETTLE)
        assert paths(drain(watch)) == ["heard.pdf"]


def test_a_tree_with_a_share_in_it_is_seen_whole(
    server: Path, tmp_path: Path, clock: Clock
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with (
        mounted(inbox / "from-the-nas", *BINDFS, str(server)),
        watching(inbox, clock, **TIMES) as watch,
    ):
        (server / "remote.pdf").write_bytes(b"scan")
        (inbox / "local.pdf").write_bytes(b"scan")
        caught_up(watch)
        clock.turn(POLL)
        found = caught_up(watch)
        clock.turn(SETTLE)
        assert paths(found + drain(watch)) == ["from-the-nas/remote.pdf", "local.pdf"]


@pytest.mark.parametrize("marked", [True, False])
def test_a_share_that_is_not_mounted_at_the_next_start_pauses_the_inbox(
    server: Path, share: Path, tmp_path: Path, marked: bool, clock: Clock
) -> None:
    memory = tmp_path / "spool" / "scans.json"
    memory.parent.mkdir()
    if marked:
        (server / MARKER).touch()
    with shared(server, share, clock, memory=memory) as watch:
        assert watch.paused is None
    with watching(share, clock, memory=memory, **TIMES) as watch:
        condition = paused(watch, clock)
        assert condition.kind == "share-lost"
        assert f"Remove {memory} and restart ocrd" in condition.hint
        (server / "scan.pdf").write_bytes(b"scan")
        with mounted(share, *BINDFS, str(server)):
            clock.turn(1)
            until_waiting(watch, 1)
            assert watch.paused is None
    memory.unlink()
    with watching(share, clock, memory=memory, **TIMES) as watch:
        assert watch.paused is None


@pytest.mark.parametrize("words", [b"", b"{", b"[]", b'{"mount": 7, "marked": 1}', b"\xff"])
def test_a_memory_that_cannot_be_understood_is_none(
    share: Path, tmp_path: Path, words: bytes
) -> None:
    memory = tmp_path / "scans.json"
    memory.write_bytes(words)
    with watching(share, Clock(), memory=memory, **TIMES) as watch:
        assert watch.paused is None
    assert memory.read_bytes() != words


def test_an_unmounted_share_pauses_the_inbox_until_it_is_back(
    server: Path, share: Path, clock: Clock
) -> None:
    (server / "taken.pdf").write_bytes(b"scan")
    with shared(server, share, clock) as watch:
        clock.turn(SETTLE)
        watch.settler.taken(drain(watch)[0])
        until_waiting(watch, 0)
        (server / "waits.pdf").write_bytes(b"scan")
        clock.turn(POLL)
        until_waiting(watch, 1)

        unmount(share)
        (share / "not-in-the-share.pdf").write_bytes(b"beneath the mount point")
        condition = paused(watch, clock)
        assert condition.kind == "share-lost"
        assert f"mount {share}" in condition.hint
        clock.turn(600)
        assert drain(watch) == []
        assert watch.paused == condition
        assert len(watch.settler) == 1

        mount(share, *BINDFS, str(server))
        clock.turn(1)
        # It looks as it did before; and what was taken is not taken for deleted and new.
        assert paths(drain(watch)) == ["waits.pdf"]
        assert not watch.conditions


def test_a_share_lost_in_the_middle_of_a_rescan_leaves_nothing_for_deleted(
    server: Path, share: Path, clock: Clock
) -> None:
    for name in ("a", "b", "c"):
        (server / name).mkdir()
        (server / name / "taken.pdf").write_bytes(b"scan")
    with shared(server, share, clock, batch=1) as watch:
        clock.turn(SETTLE)
        for candidate in drain(watch):
            watch.settler.taken(candidate)
        until_waiting(watch, 0)
        scans = watch.scans
        clock.turn(POLL)
        watch.step()
        unmount(share)
        steps_until(watch, lambda: watch.scans > scans, "the end of the rescan")
        paused(watch, clock)
        mount(share, *BINDFS, str(server))
        clock.turn(POLL)
        assert drain(watch) == []
        clock.turn(SETTLE)
        assert drain(watch) == []
        assert len(watch.settler) == 0


def test_a_share_whose_server_died_pauses_the_inbox_and_names_the_remedy(
    server: Path, share: Path, clock: Clock
) -> None:
    need("fuse")
    with mounted(share):
        process = subprocess.Popen([*BINDFS, "-f", str(server), str(share)])
        try:
            wait_for(lambda: is_mounted(share))  # bindfs in the foreground does not say when
            with watching(share, clock, **TIMES) as watch:
                process.kill()
                process.wait()
                condition = paused(watch, clock)
                assert condition.kind == "share-lost"
                assert "mount it again" in condition.hint
        finally:
            process.kill()
            process.wait()


def test_a_disk_taken_out_and_put_back_is_watched_natively_again(share: Path, clock: Clock) -> None:
    tmpfs = ("mount", "-t", "tmpfs", "ocrd-test")
    with mounted(share, *tmpfs), watching(share, clock, **TIMES) as watch:
        assert watch.kind == "native"
        unmount(share)
        assert paused(watch, clock).kind == "share-lost"
        mount(share, *tmpfs)
        clock.turn(1)
        drain(watch)
        assert watch.kind == "native"
        (share / "scan.pdf").write_bytes(b"scan")
        until_waiting(watch, 1)


def test_a_disk_out_for_less_than_a_look_is_watched_again(
    share: Path, tmp_path: Path, clock: Clock
) -> None:
    need("disks")
    image = tmp_path / "disk.img"
    image.touch()
    with image.open("r+b") as file:
        file.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with (
        loop_device(image) as disk,
        mounted(share, *(ext4 := ("mount", disk))),
        watching(share, clock, **TIMES) as watch,
    ):
        before = share.stat()
        unmount(share)  # the same device and inode come back, all inotify watches are gone
        mount(share, *ext4)
        after = share.stat()
        assert (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)
        steps_until(watch, lambda: watch.scans == 2, "noticing")
        (share / "scan.pdf").write_bytes(b"scan")
        until_waiting(watch, 1)


@contextmanager
def loop_device(image: Path) -> Iterator[str]:
    """A disk made of a file: it stays one and the same, whatever is mounted from it when."""
    command = ["losetup", "--find", "--show", str(image)]
    disk = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield disk
    finally:
        subprocess.run(["losetup", "--detach", disk], check=True)


def test_a_share_mounted_over_the_inbox_later_is_polled_from_then_on(
    server: Path, share: Path, clock: Clock
) -> None:
    with watching(share, clock, **TIMES) as watch:
        before = watch.kind
        (server / "scan.pdf").write_bytes(b"scan")
        with mounted(share, *BINDFS, str(server)):
            clock.turn(1)
            until_waiting(watch, 1)
            assert (before, watch.kind) == ("native", "polling")
            assert not watch.conditions


def test_a_marker_that_was_seen_and_is_gone_pauses_the_inbox(share: Path, clock: Clock) -> None:
    (share / MARKER).touch()
    with watching(share, clock, **TIMES) as watch:
        assert not watch.conditions
        (share / MARKER).unlink()
        (share / "scan.pdf").write_bytes(b"scan")
        condition = paused(watch, clock)
        assert (condition.kind, MARKER in condition.hint) == ("share-lost", True)
        (share / MARKER).touch()
        clock.turn(1)
        drain(watch)
        assert not watch.conditions
        clock.turn(SETTLE)
        assert paths(drain(watch)) == ["scan.pdf"]
