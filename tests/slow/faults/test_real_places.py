"""Places that refuse for real: exFAT's driver and its names, a quota that is used up."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.tree import Tree, ask, daemon, folder_of, log, order, scan
from tests.support.needs import need
from tests.support.waiting import wait_for
from tests.unit.spool.mounts import mounted

ODD = ("a:b.jpg", "what?.jpg", "two\nlines.jpg", "star*/c.jpg", "\udcff.jpg")  # refused by exFAT


@contextlib.contextmanager
def exfat(image: Path, at: Path) -> Iterator[None]:
    """A mounted exFAT disk, through FUSE because server kernels often lack exFAT."""
    need("disks", "fuse", "exfat")
    with image.open("wb") as disk:
        disk.truncate(64 << 20)
    subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
    lent = ["losetup", "--find", "--show", str(image)]
    device = subprocess.run(lent, check=True, capture_output=True, text=True).stdout.strip()
    try:
        at.mkdir(parents=True)
        subprocess.run(["mount.exfat-fuse", device, at], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", at], check=False)
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.parametrize("place", ["outbox", "archive"])
def test_names_that_exfat_refuses_hold_up_their_jobs_alone_and_cancel_clears_them(
    tmp_path: Path, place: str
) -> None:
    tree = Tree(tmp_path / "srv")
    with exfat(tmp_path / "image", tree.root / place):
        with daemon(tree):
            for number, name in enumerate(("a.jpg", *ODD, "z.jpg")):
                tree.drop(name, scan(number))
            wait_for(lambda: folder_of(tree)["done"] == 2)
            wait_for(lambda: len(ask(tree, "status")["held"]) == len(ODD))
            held = ask(tree, "status")["held"]
            assert {each["kind"] for each in held} == {"invalid-name"}
            assert all(str(tree.root / place) in each["message"] for each in held)
            order(tree, "cancel", *(str(each["id"]) for each in held))
            wait_for(lambda: folder_of(tree)["cancelled"] == len(ODD))
            assert folder_of(tree)["paused"] is None
        failed = [name for name in tree.visible("failed") if not name.endswith(".error.json")]
        assert sorted(failed) == sorted(ODD)
        assert tree.spooled() == []


def test_a_quota_that_is_used_up_is_one_pause_and_costs_no_attempt(tmp_path: Path) -> None:
    """A quota group of btrfs binds root as well; quotas of ext4 and xfs do not."""
    need("disks", "btrfs")
    image, tree = tmp_path / "image", Tree(tmp_path / "srv")
    with image.open("wb") as disk:
        disk.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", "--mixed", image], check=True, capture_output=True)
    outbox = tree.root / "outbox"
    with mounted("-o", "loop", str(image), at=outbox):
        subprocess.run(["btrfs", "quota", "enable", outbox], check=True)
        volume = outbox / "scans"
        subprocess.run(["btrfs", "subvolume", "create", volume], check=True, capture_output=True)
        with daemon(tree):
            tree.drop("0.jpg", scan(0))
            wait_for(lambda: folder_of(tree)["done"] == 1)
            subprocess.run(["btrfs", "qgroup", "limit", "1M", volume], check=True)
            filler = volume / "filler"
            with pytest.raises(OSError, match="quota"), filler.open("wb", buffering=0) as full:
                while full.write(b"x" * 4096):
                    pass
            for number in range(1, 4):
                tree.drop(f"{number}.jpg", scan(number))
            wait_for(lambda: folder_of(tree)["paused"])
            paused = folder_of(tree)["paused"]
            assert paused["kind"] == "disk-full"
            assert "quota" in paused["message"]
            subprocess.run(["btrfs", "qgroup", "limit", "none", volume], check=True)
            wait_for(lambda: folder_of(tree)["done"] == 4)
            wait_for(lambda: folder_of(tree)["paused"] is None)
            filler.unlink()
        assert [job["attempts"] for job in ask(tree, "jobs")["jobs"]] == [1] * 4
        assert log(tree).count("event=folder.paused") == 1
        assert log(tree).count("event=folder.resumed") == 1
        tree.check_done()
