from __future__ import annotations

from ocrd.inbox.admitted import Admitted
from ocrd.inbox.settle import Fingerprint

SCAN = Fingerprint(size=100, mtime_ns=1, inode=7)
OTHER = Fingerprint(size=100, mtime_ns=2, inode=7)


def with_files(*names: str) -> Admitted:
    admitted = Admitted()
    for name in names:
        admitted.add(name, SCAN)
    return admitted


def test_a_taken_file_is_known_as_long_as_it_looks_the_same() -> None:
    admitted = with_files("scan.pdf")
    assert admitted.knows("scan.pdf", SCAN)
    assert not admitted.knows("scan.pdf", OTHER)
    assert not admitted.knows("other.pdf", SCAN)


def test_a_touched_file_is_new() -> None:
    admitted = with_files("scan.pdf")
    admitted.drop("scan.pdf")
    assert not admitted.knows("scan.pdf", SCAN)


def test_what_a_rescan_does_not_meet_is_new_when_it_comes_back() -> None:
    admitted = with_files("stays.pdf", "goes.pdf")
    admitted.begin()
    assert admitted.knows("stays.pdf", SCAN)
    admitted.end(complete=True)
    assert admitted.knows("stays.pdf", SCAN)
    assert not admitted.knows("goes.pdf", SCAN)
    assert len(admitted) == 1


def test_a_rescan_that_could_not_see_everything_takes_nothing_for_gone() -> None:
    admitted = with_files("seen.pdf", "behind-a-locked-door.pdf")
    admitted.begin()
    admitted.knows("seen.pdf", SCAN)
    admitted.end(complete=False)
    assert admitted.knows("behind-a-locked-door.pdf", SCAN)


def test_a_rescan_broken_off_by_another_takes_nothing_for_gone() -> None:
    admitted = with_files("scan.pdf")
    admitted.begin()
    admitted.begin()
    assert admitted.knows("scan.pdf", SCAN)


def test_files_taken_and_touched_during_a_rescan_are_remembered_rightly() -> None:
    admitted = with_files("touched.pdf", "again.pdf")
    admitted.begin()
    admitted.drop("touched.pdf")
    admitted.add("new.pdf", SCAN)
    admitted.add("again.pdf", OTHER)
    admitted.end(complete=True)
    assert not admitted.knows("touched.pdf", SCAN)
    assert admitted.knows("new.pdf", SCAN)
    assert admitted.knows("again.pdf", OTHER)
