"""A job that fails, or is cancelled, ends; its original is where the ledger says."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ocrd.errors import PlaceError
from ocrd.files import Disk
from ocrd.job import JobState, Place
from ocrd.worker.worker import CANCELLED
from tests.unit.worker.ground import Ground


class Closed(Disk):
    """Refuses to let anything out of, or into, a folder of that name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def rename(self, source: Path, target: Path) -> None:
        self._refuse(source, target)
        super().rename(source, target)

    def rename_exclusive(self, source: Path, target: Path) -> None:
        self._refuse(source, target)
        super().rename_exclusive(source, target)

    def _refuse(self, *paths: Path) -> None:
        for path in paths:
            if self._name in path.parts:
                raise OSError(errno.EACCES, "Permission denied", str(path))


def test_a_cancel_leaves_a_file_that_has_changed_where_it_is_and_names_no_other_place(
    tmp_path: Path,
) -> None:
    ground = Ground(tmp_path / "srv")
    job = ground.claimed()
    (ground.folder.inbox / "scan.pdf").write_bytes(b"%PDF-1.7 another one")
    job = ground.delivery.fail(job, ground.folder, CANCELLED, cancelled=True)
    assert (job.state, job.place, job.failed_to) == (JobState.CANCELLED, Place.INBOX, None)
    assert (ground.folder.inbox / "scan.pdf").read_bytes() == b"%PDF-1.7 another one"


@pytest.mark.parametrize("taken", [True, False])
def test_a_cancel_after_a_retry_names_failed_only_while_the_original_lies_there(
    tmp_path: Path, *, taken: bool
) -> None:
    ground = Ground(tmp_path / "srv")
    job = ground.delivery.fail(ground.spooled(), ground.folder, CANCELLED, cancelled=True)
    failed_to = Path(job.failed_to or "")
    ground.ledger.retry([job.id])
    (job,) = ground.ledger.request_cancel([job.id])
    if taken:
        failed_to.unlink()
    job = ground.delivery.fail(job, ground.folder, CANCELLED, cancelled=True)
    assert job.state is JobState.CANCELLED
    assert (job.place, job.failed_to) == (
        (Place.GONE, None) if taken else (Place.FAILED, str(failed_to))
    )


def test_a_cancel_ends_a_job_whose_sub_folder_is_closed(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", disk=Closed("sub"))
    job = ground.claimed("sub/scan.pdf")
    job = ground.delivery.fail(job, ground.folder, CANCELLED, cancelled=True)
    assert (job.state, job.place, job.failed_to) == (JobState.CANCELLED, Place.INBOX, None)
    assert (ground.folder.inbox / "sub" / "scan.pdf").exists()


def test_a_failure_waits_for_an_inbox_that_is_closed_as_a_whole(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "srv", disk=Closed("inbox"))
    with pytest.raises(PlaceError):
        ground.delivery.fail(ground.claimed(), ground.folder, CANCELLED)
