"""Each writer leaves exactly what it says it left, in the way it says."""

from __future__ import annotations

import ctypes
import hashlib
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.slow.faults.droppers import (
    ODD,
    WHOLE,
    Dropper,
    Ground,
    Item,
    folder_moved_in,
    hard_link,
    killed_upload,
    over_and_over,
    page_by_page,
    placeholder_first,
    rename_in,
    through,
)
from tests.slow.faults.evidence import files_below
from tests.slow.faults.samba import Samba, samba
from tests.support.needs import need

EVENTS = {0x2: "modified", 0x8: "closed", 0x80: "moved in", 0x100: "created"}  # <sys/inotify.h>
ITEMS = [
    Item(source=f"scanner 1/scan-{number}.pdf", content=bytes([number]) * 20_000)
    for number in range(3)
]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    inbox, staging = tmp_path / "inbox", tmp_path / "staging"
    inbox.mkdir()
    staging.mkdir()
    return Ground(folder="letters", inbox=inbox, staging=staging)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    top = tmp_path_factory.mktemp("samba")
    (top / "share").mkdir()
    with samba(top / "share", top / "state") as running:
        yield running


def lying(ground: Ground) -> dict[str, str]:
    """What lies in the inbox: digests by path."""
    return {
        str(path.relative_to(ground.inbox)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files_below(ground.inbox)
    }


@pytest.mark.parametrize("dropper", WHOLE.values(), ids=WHOLE.keys())
def test_what_is_said_to_be_dropped_lies_there(ground: Ground, dropper: Dropper) -> None:
    dropped = dropper(ground, ITEMS)
    assert {each.source: each.sha256 for each in dropped} == lying(ground)
    assert sorted(each.sha256 for each in dropped) == sorted(
        hashlib.sha256(item.content).hexdigest() for item in ITEMS
    )
    assert [(each.folder, each.pages, each.replaceable) for each in dropped] == [
        ("letters", 1, False)
    ] * 3


@pytest.mark.parametrize("name", ["over and over", "rewritten"])
def test_of_what_is_replaced_the_last_lies_there(ground: Ground, name: str) -> None:
    dropped = ODD[name](ground, ITEMS)
    assert [each.replaceable for each in dropped] == [True, True, False]
    assert lying(ground) == {ITEMS[0].source: dropped[-1].sha256}


def test_a_killed_upload_leaves_half_a_file(ground: Ground) -> None:
    (dropped,) = killed_upload(ground, ITEMS[:1])
    assert (ground.inbox / dropped.source).stat().st_size == 10_000
    assert lying(ground) == {dropped.source: dropped.sha256}
    assert dropped.pages is None


def test_a_scanner_closes_the_file_after_each_page(ground: Ground) -> None:
    sizes: list[int] = []
    path = ground.inbox / "scan.pdf"
    watched = replace(ground, sleep=lambda _seconds: sizes.append(path.stat().st_size))
    with _events(ground) as events:
        page_by_page(watched, [replace(ITEMS[0], source="scan.pdf")])
    assert sizes == [5000, 10_000, 15_000, 20_000]
    assert events == ["created scan.pdf", *["modified scan.pdf", "closed scan.pdf"] * 4]


def test_a_placeholder_is_empty_at_first(ground: Ground) -> None:
    sizes: list[int] = []
    path = ground.inbox / ITEMS[0].source
    placeholder_first(
        replace(ground, sleep=lambda _seconds: sizes.append(path.stat().st_size)), ITEMS[:1]
    )
    assert (sizes, path.stat().st_size) == ([0], 20_000)


def test_a_renamed_file_is_never_seen_unfinished(ground: Ground) -> None:
    with _events(ground) as events:
        rename_in(ground, [replace(ITEMS[0], source="scan.pdf")])
    assert events == ["moved in scan.pdf"]


def test_a_folder_is_moved_in_by_one_rename(ground: Ground) -> None:
    with _events(ground) as events:
        (dropped, *_) = folder_moved_in(ground, ITEMS)
    assert events == [f"moved in {dropped.source.partition('/')[0]}"]


def test_a_linked_file_keeps_its_other_name(ground: Ground) -> None:
    (dropped,) = hard_link(ground, ITEMS[:1])
    assert (ground.inbox / dropped.source).stat().st_nlink == 2


def test_each_scan_under_one_name_is_a_file_of_its_own(ground: Ground) -> None:
    inodes: list[int] = []
    path = ground.inbox / ITEMS[0].source

    def hold(_seconds: float) -> None:
        os.link(path, ground.staging / f"held-{len(inodes)}")  # else the number is used again
        inodes.append(path.stat().st_ino)

    over_and_over(replace(ground, sleep=hold), ITEMS)
    assert len(set(inodes)) == 3


def test_an_upload_goes_through_the_server(server: Samba, tmp_path: Path) -> None:
    ground = Ground(folder="letters", inbox=server.share, staging=tmp_path)
    items = [*ITEMS, Item(source="Büro/Ordner mit Lücken/扫描 1.pdf", content=b"x" * 300_000)]
    dropped = through(server)(ground, items)
    assert {each.source: each.sha256 for each in dropped} == lying(ground)
    assert "Ordner mit L" in server.run('cd "Büro"; ls')


def test_an_upload_that_the_server_refuses_is_told(server: Samba) -> None:
    with pytest.raises(RuntimeError, match="NT_STATUS_OBJECT_PATH_NOT_FOUND"):
        server.run(f'put "{__file__}" "no such folder\\scan.pdf"')


def test_nothing_of_the_server_is_left_running(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    with samba(tmp_path / "share", tmp_path / "state") as running:
        running.run("ls")
        assert _processes(running.config)
    assert _processes(running.config) == []


def _processes(config: Path) -> list[str]:
    need("procps")
    found = subprocess.run(["pgrep", "-f", f"smbd.*{config}"], capture_output=True, text=True)
    return found.stdout.split()


@contextmanager
def _events(ground: Ground) -> Iterator[list[str]]:
    """What the kernel says about the top of the inbox while the block runs; filled at its end."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(descriptor, os.fsencode(ground.inbox), sum(EVENTS)) > 0
    said: list[str] = []
    try:
        yield said
        told = os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)
    while told:
        _watch, mask, _cookie, length = struct.unpack_from("iIII", told)
        name = told[16 : 16 + length].rstrip(b"\0").decode()
        said += [f"{word} {name}" for bit, word in EVENTS.items() if mask & bit]
        told = told[16 + length :]
