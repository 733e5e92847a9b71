"""The marker that goes with an original is the one that it was taken for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.job import Member, Place
from ocrd.worker.deliver import remove_marker
from tests.unit.worker.ground import Ground

PAUSE = 'join = "pause"\n'
PAGE = Member(source="sub/a 1.jpg", size=1, mtime_ns=0, inode=0, sha256="00")


@pytest.mark.parametrize(
    ("join", "source", "members", "marker"),
    [
        ("", "sub/a.jpg", (), "sub/a.jpg.done"),
        (PAUSE, "sub/a.jpg", (), "sub/a.done"),  # a pile of one page
        (PAUSE, "sub/a", (PAGE,), "sub/a.done"),
    ],
    ids=["a file", "a pile of one file", "a pile"],
)
def test_it_is_called_as_the_marker_that_was_waited_for(
    tmp_path: Path, join: str, source: str, members: tuple[Member, ...], marker: str
) -> None:
    ground = Ground(tmp_path / "srv", f'done_marker = "{{name}}.done"\n{join}')
    job = replace(ground.spooled(), source=source, members=members, place=Place.INBOX)
    for name in ("sub/a.jpg.done", "sub/a.done"):
        (ground.folder.inbox / name).parent.mkdir(exist_ok=True)
        (ground.folder.inbox / name).touch()
    remove_marker(ground.spool, job, ground.folder)
    assert not (ground.folder.inbox / marker).exists()
    assert len(list((ground.folder.inbox / "sub").iterdir())) == 1


def test_a_folder_of_that_name_holds_nothing_up(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", f'done_marker = "{{name}}.done"\n{PAUSE}')
    job = replace(ground.spooled(), source="a", members=(PAGE,), place=Place.INBOX)
    folder = ground.folder.inbox / "a.done"
    folder.mkdir()
    remove_marker(ground.spool, job, ground.folder)
    assert folder.is_dir()
