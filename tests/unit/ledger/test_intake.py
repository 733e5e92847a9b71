"""Files become jobs once, whatever their names and however often they are found."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import OcrdError
from ocrd.job import Job, JobError, JobState, Place
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.pages import page_row
from ocrd.ledger.transitions import Happening
from tests.unit.ledger.making import (
    Clock,
    claimed,
    done,
    failed,
    found,
    page,
    queued,
    spooled,
    taken_next,
)

FIFO = JobError(kind="not-a-file", message="it is a FIFO", hint="Remove it.")

ODD_NAMES = {
    "a newline": "line\nbreak.pdf",
    "broken UTF-8": os.fsdecode(b"caf\xe9 \xff\xfe.pdf"),
    "255 bytes": "ü" * 125 + "x.pdf",
    "a deep path": "/".join(["sub"] * 300) + "/x.pdf",
    "quotes": """it's "so" -- ; DROP TABLE jobs.pdf""",
    "escape sequences": "\x1b[2J\u202egnp.pdf",
    "a blank": " ",
}


def on_its_way_to_failed(ledger: Ledger) -> Job:
    return ledger.intend_failure(queued(ledger), FIFO, "/failed/scan.pdf")


class TestRecord:
    def test_queues_a_settled_file(self, ledger: Ledger, clock: Clock) -> None:
        file = found("sub/scan.pdf", priority=7)
        (job,) = ledger.record([file])
        assert job is not None
        assert (job.folder, job.source, job.sha256) == ("invoices", "sub/scan.pdf", file.sha256)
        assert (job.size, job.mtime_ns, job.inode) == (file.size, file.mtime_ns, file.inode)
        assert (job.state, job.place, job.attempts) == (JobState.QUEUED, Place.INBOX, 0)
        assert (job.priority, job.created_at, job.not_before) == (7, clock.now, 0.0)
        assert ledger.job(job.id) == job

    def test_gives_each_file_its_job_in_the_order_of_the_files(self, ledger: Ledger) -> None:
        files = [found(f"{number}.pdf") for number in range(1200)]
        jobs = ledger.record(files)
        assert [job.source for job in jobs if job] == [file.source for file in files]
        assert [job.id for job in jobs if job] == list(range(1, 1201))
        assert len({job.token for job in jobs if job}) == 1200

    @pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
    def test_keeps_a_name_byte_for_byte(self, ledger: Ledger, path: Path, name: str) -> None:
        job = queued(ledger, name)
        assert ledger.jobs() == [job]
        assert os.fsencode(ledger.jobs()[0].source) == os.fsencode(name)
        with closing(sqlite3.connect(path)) as raw:
            shown = raw.execute("SELECT shown FROM jobs").fetchone()[0]
        assert shown.isprintable()

    def test_keeps_numbers_beyond_64_bits(self, ledger: Ledger) -> None:
        file = found(inode=2**64 - 1, mtime_ns=2**70)
        (job,) = ledger.record([file])
        assert job is not None and (job.inode, job.mtime_ns) == (2**64 - 1, 2**70)
        assert ledger.record([file]) == [None]

    @pytest.mark.parametrize("make", [queued, claimed, on_its_way_to_failed])
    def test_of_a_file_that_a_job_stands_for_is_nothing_new(
        self, ledger: Ledger, make: Callable[[Ledger], Job]
    ) -> None:
        job = make(ledger)
        assert ledger.record([found()]) == [None]
        assert ledger.jobs() == [job]

    def test_of_one_file_twice_at_once_is_one_job(self, ledger: Ledger) -> None:
        first, second = ledger.record([found(), found()])
        assert first is not None and second is None
        assert len(ledger.jobs()) == 1

    def test_of_a_file_that_grew_while_it_waited_renews_its_job(self, ledger: Ledger) -> None:
        before = queued(ledger)
        grown = found(size=99_999, mtime_ns=5, sha256="ab" * 32)
        (after,) = ledger.record([grown])
        assert after == replace(before, size=99_999, mtime_ns=5, sha256="ab" * 32)
        assert ledger.jobs() == [after]

    @pytest.mark.parametrize("same", [False, True])
    def test_of_other_contents_forgets_the_pages_of_the_old(
        self, ledger: Ledger, same: bool
    ) -> None:
        job = ledger.set_pages(claimed(ledger), 2)
        ledger.progress(job, [page_row(page(1), "{}", "r")])
        ledger.release(job, not_before=0.0, error=None, refund=False)
        now = found(mtime_ns=6) if same else found(size=1, sha256="cd" * 32)  # touched, or new
        (renewed,) = ledger.record([now])
        assert renewed is not None
        told = (renewed.pages, renewed.pages_done, renewed.attempts)
        assert told == ((2, 1, 1) if same else (None, 0, 1))
        assert len(ledger.pages(job.id)) == (2 if same else 0)
        assert ledger.reusable("cd" * 32, "r", 1) is None

    def test_of_a_new_file_under_a_claimed_name_is_a_new_job(self, ledger: Ledger) -> None:
        old = claimed(ledger)
        (new,) = ledger.record([found(inode=3, sha256="ab" * 32)])
        assert new is not None and new.id != old.id
        assert ledger.record([found(inode=3, sha256="ab" * 32)]) == [None]
        assert ledger.moved(old).place is Place.SPOOL

    @pytest.mark.parametrize("earlier", [spooled, done, failed])
    def test_under_a_name_whose_file_is_taken_away_is_a_new_job(
        self, ledger: Ledger, earlier: Callable[[Ledger], Job]
    ) -> None:
        old = earlier(ledger)
        (new,) = ledger.record([found()])
        assert new is not None and new.state is JobState.QUEUED
        assert [job.id for job in ledger.jobs()] == [new.id, old.id]

    def test_of_its_successor_is_a_new_job(self, ledger: Ledger) -> None:
        old = on_its_way_to_failed(ledger)
        (new,) = ledger.record([found(inode=3)])
        assert new is not None and new.id != old.id
        assert ledger.failed(old).failed_to == "/failed/scan.pdf"

    def test_of_a_file_on_its_way_is_nothing_new_even_beside_an_older_claim(
        self, ledger: Ledger
    ) -> None:
        claimed(ledger)
        (second,) = ledger.record([found(inode=3)])
        assert second is not None
        ledger.intend_failure(second, FIFO, "/failed/scan.pdf")
        assert ledger.record([found(inode=3)]) == [None]

    def test_of_a_file_that_failed_without_being_moved_waits_for_a_change(
        self, ledger: Ledger
    ) -> None:
        job = ledger.failed(queued(ledger), place=Place.INBOX)
        assert ledger.record([found()]) == [None]
        (again,) = ledger.record([found(size=1, sha256="ab" * 32)])
        assert again is not None
        assert (again.id, again.state, again.error) == (job.id, JobState.QUEUED, None)

    def test_is_all_or_nothing(self, ledger: Ledger) -> None:
        with pytest.raises(OcrdError, match="fromhex"):
            ledger.record([found("1.pdf"), found("2.pdf", sha256="no digest")])
        assert ledger.jobs() == []


class TestARefusedFile:
    def test_is_one_job_that_failed_with_its_reason_however_often_it_is_found(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        job = ledger.record_refused(found(sha256=""), FIFO)
        assert (job.state, job.place, job.error) == (JobState.FAILED, Place.INBOX, FIFO)
        assert job.finished_at == clock.now
        assert [ledger.record_refused(found(sha256=""), FIFO) for _ in range(3)] == [job] * 3
        assert ledger.jobs() == [job]
        assert [entry.name for entry in ledger.events(job.id)] == [Happening.REFUSED]

    def test_is_the_same_job_when_it_changed_and_is_refused_again(self, ledger: Ledger) -> None:
        job = ledger.record_refused(found(sha256=""), FIFO)
        other = JobError(kind="no-permission", message="may not be read", hint="chmod")
        again = ledger.record_refused(found(sha256="", size=4), other)
        assert again == replace(job, size=4, error=other)
        assert ledger.jobs() == [again]

    def test_is_queued_as_the_same_job_once_it_can_be_read(self, ledger: Ledger) -> None:
        refused = ledger.record_refused(found(sha256=""), FIFO)
        (job,) = ledger.record([found()])
        assert job is not None
        assert (job.id, job.state, job.error) == (refused.id, JobState.QUEUED, None)
        assert (job.sha256, job.finished_at) == (found().sha256, None)

    def test_that_is_put_back_into_the_queue_and_refused_again_fails_again(
        self, ledger: Ledger
    ) -> None:
        refused = ledger.record_refused(found(sha256=""), FIFO)
        assert [job.id for job in ledger.retry([refused.id])] == [refused.id]
        again = ledger.record_refused(found(sha256=""), FIFO)
        assert (again.id, again.state, again.error) == (refused.id, JobState.FAILED, FIFO)
        assert taken_next(ledger, now=0.0) is None

    def test_is_not_put_back_with_all_that_failed(self, ledger: Ledger) -> None:
        """It would fail again each time; what can come to be read is tried."""
        ledger.record_refused(found(sha256=""), FIFO)
        closed = JobError(kind="no-permission", message="may not be read", hint="chmod")
        other = ledger.record_refused(found("closed.pdf", sha256=""), closed)
        assert [job.id for job in ledger.retry()] == [other.id]

    def test_that_took_the_place_of_one_that_waits_is_the_end_of_its_job(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        job = queued(ledger)
        ended = ledger.record_refused(found(sha256="", inode=99), FIFO)
        assert (ended.id, ended.state, ended.error) == (job.id, JobState.FAILED, FIFO)
        assert (ended.place, ended.finished_at) == (Place.INBOX, clock.now)
        assert ledger.verify() == []

    def test_leaves_a_job_that_waits_alone(self, ledger: Ledger) -> None:
        job = queued(ledger)
        assert ledger.record_refused(found(sha256=""), FIFO) == job


class TestInInbox:
    def test_tells_every_file_that_a_job_stands_for(self, ledger: Ledger) -> None:
        names = [f"{number:04}\udcff.pdf" for number in range(1100)]
        ledger.record([found(name) for name in names])
        ledger.record([found("other.pdf", "letters")])
        claimed(ledger, "letter.pdf", "claims")
        spooled(ledger, "spooled.pdf", "invoices-2")
        standing = list(ledger.in_inbox("invoices"))
        assert [each.source for each in standing] == names
        files = [found(name) for name in names]
        assert [(each.size, each.mtime_ns, each.inode) for each in standing] == [
            (file.size, file.mtime_ns, file.inode) for file in files
        ]
        assert [each.source for each in ledger.in_inbox("claims")] == ["letter.pdf"]
        assert list(ledger.in_inbox("invoices-2")) == []

    def test_leaves_out_what_could_not_be_read(self, ledger: Ledger) -> None:
        queued(ledger, "a.pdf")
        ledger.record_refused(found("b.pdf", sha256=""), FIFO)
        assert [each.source for each in ledger.in_inbox("invoices")] == ["a.pdf"]


class TestAdopt:
    TOKEN = "0123456789abcdef"

    def adopt(self, ledger: Ledger, number: int) -> Job | None:
        return ledger.adopt(
            found(), number=number, token=self.TOKEN, outputs="/out/a", archived_to="/old/a.pdf"
        )

    def test_takes_up_a_job_whose_bundle_has_been_published(self, ledger: Ledger) -> None:
        job = self.adopt(ledger, 700)
        assert job is not None
        assert (job.id, job.token, job.state) == (700, self.TOKEN, JobState.DELIVERING)
        assert (job.place, job.outputs, job.archived_to) == (Place.SPOOL, "/out/a", "/old/a.pdf")
        assert ledger.owner(self.TOKEN) == job
        assert ledger.unfinished() == [job]
        assert ledger.done(ledger.resume(job)).state is JobState.DONE

    def test_leaves_a_number_alone_that_is_another_jobs(self, ledger: Ledger) -> None:
        (job,) = ledger.record([found()])
        assert job is not None
        assert self.adopt(ledger, job.id) is None
        assert ledger.job(job.id) == job

    def test_does_not_stand_for_a_file_in_the_inbox(self, ledger: Ledger) -> None:
        self.adopt(ledger, 1)
        assert ledger.record([found()]) != [None]
