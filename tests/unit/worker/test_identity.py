"""An original that a person has laid hands on is read as it is now, if it still is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import BadFileError
from ocrd.job import Member
from ocrd.worker.original import identity
from tests.support.impostors import link, pipe
from tests.unit.spool.world import job_of


@pytest.mark.parametrize("put", [link, pipe])
def test_what_is_no_file_is_refused_and_nothing_is_waited_for(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    path = tmp_path / "scan.jpg"
    path.write_bytes(b"a scan")
    job = job_of(path, "scan.jpg")
    put(path)
    with pytest.raises(BadFileError) as caught:
        identity(job, path)
    assert caught.value.kind == "not-a-file"


def test_nor_is_a_link_to_a_folder_the_folder_of_a_joined_document(tmp_path: Path) -> None:
    folder = tmp_path / "pile"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"one")
    page = Member(source="1.jpg", size=3, mtime_ns=0, inode=0, sha256="00")
    job = replace(job_of(folder / "1.jpg", "pile"), members=(page,))
    assert identity(job, folder).size == 3
    link(folder)
    with pytest.raises(BadFileError):
        identity(job, folder)
