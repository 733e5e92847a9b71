"""A joined document is one job, and its files are known by it until they are claimed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest

from ocrd.errors import FencedError
from ocrd.job import Found, Job, JobError, JobState, Place
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.readonly import glance
from ocrd.ledger.transitions import Happening
from tests.unit.ledger.making import (
    Clock,
    document,
    done,
    found,
    member,
    queued,
    taken_next,
)

UNREADABLE = JobError(kind="no-permission", message="may not be read", hint="chmod a+r")
LETTER = ("sub/letter_1.jpg", "sub/letter_2.jpg", "sub/letter_3.jpg")
ODD = os.fsdecode(b"caf\xe9\n_1.jpg")


@pytest.fixture
def letter() -> Found:
    return document("sub/letter", *LETTER)


def recorded(ledger: Ledger, found: Found) -> Job:
    (job,) = ledger.record([found])
    assert job is not None
    return job


def claimed_letter(ledger: Ledger, letter: Found) -> Job:
    recorded(ledger, letter)
    job = taken_next(ledger, now=0.0)
    assert job is not None
    return job


def known(ledger: Ledger) -> list[str]:
    return sorted(each.source for each in ledger.in_inbox("invoices"))


class TestRecorded:
    def test_it_is_one_job_with_its_files_in_order(self, ledger: Ledger, letter: Found) -> None:
        job = recorded(ledger, replace(letter, priority=3))
        assert (job.source, job.state, job.place) == ("sub/letter", JobState.QUEUED, Place.INBOX)
        assert job.members == tuple(member(source) for source in LETTER)
        assert (job.size, job.inode) == (sum(each.size for each in job.members), 0)
        assert job.mtime_ns == max(each.mtime_ns for each in job.members)
        digests = b"".join(bytes.fromhex(each.sha256) for each in job.members)
        assert job.sha256 == hashlib.sha256(digests).hexdigest()
        assert (job.priority, ledger.job(job.id)) == (3, job)

    def test_names_that_are_not_text_are_kept(self, ledger: Ledger) -> None:
        job = recorded(ledger, document("odd", ODD, "plain_2.jpg"))
        assert [each.source for each in ledger.jobs()[0].members] == [ODD, "plain_2.jpg"]
        assert ledger.record([found(ODD)]) == [None]
        assert ledger.jobs() == [job]

    def test_telling_of_it_again_changes_nothing(self, ledger: Ledger, letter: Found) -> None:
        job = recorded(ledger, letter)
        assert ledger.record([letter]) == [None]
        assert ledger.jobs() == [job]

    def test_its_files_alone_are_nothing_new_while_they_lie_there(
        self, ledger: Ledger, letter: Found
    ) -> None:
        recorded(ledger, letter)
        assert ledger.record([found(source) for source in LETTER]) == [None] * 3
        taken_next(ledger, now=0.0)
        assert ledger.record([found(source) for source in LETTER]) == [None] * 3
        assert ledger.record([document("sub/2", *LETTER[1:])]) == [None]
        assert len(ledger.jobs()) == 1

    def test_a_file_under_a_members_name_after_the_claim_is_new(
        self, ledger: Ledger, letter: Found
    ) -> None:
        job = claimed_letter(ledger, letter)
        ledger.moved(job)
        assert known(ledger) == []
        new = recorded(ledger, found(LETTER[1]))
        assert (new.state, new.members) == (JobState.QUEUED, ())
        again = recorded(ledger, document("sub/letter", LETTER[0], LETTER[2]))
        assert again.state is JobState.QUEUED

    def test_a_changed_member_alone_is_a_job_of_its_own(
        self, ledger: Ledger, letter: Found
    ) -> None:
        """So it comes where joining was switched off meanwhile: it must not be overlooked."""
        first = recorded(ledger, letter)
        second = recorded(ledger, found(LETTER[1], mtime_ns=1))
        assert [job.id for job in ledger.jobs()] == [second.id, first.id]

    def test_two_documents_of_one_name_wait_beside_each_other(self, ledger: Ledger) -> None:
        first = recorded(ledger, document("scan", "scan.jpg", "scan2.jpg"))
        second = recorded(ledger, document("scan", "scan.png", "scan2.png"))
        plain = recorded(ledger, found("scan"))
        assert {first.id, second.id, plain.id} == {1, 2, 3}
        assert known(ledger) == ["scan", "scan.jpg", "scan.png", "scan2.jpg", "scan2.png"]

    def test_two_of_one_name_go_and_come_back_without_harm(self, ledger: Ledger) -> None:
        recorded(ledger, document("scan", "scan.jpg", "scan2.jpg"))
        first = taken_next(ledger, now=0.0)
        recorded(ledger, document("scan", "scan.png", "scan2.png"))
        assert first is not None
        back = ledger.release(first, not_before=0.0, error=None, refund=True)
        assert (back.state, back.place) == (JobState.QUEUED, Place.INBOX)
        assert len(known(ledger)) == 4

    def test_a_file_that_was_refused_and_is_part_of_it_now_is_not_retried(
        self, ledger: Ledger, letter: Found
    ) -> None:
        refused = ledger.record_refused(found(LETTER[0], sha256=""), UNREADABLE)
        recorded(ledger, letter)
        assert ledger.retry() == []
        now = ledger.job(refused.id)
        assert now is not None
        assert (now.state, now.place) == (JobState.FAILED, Place.GONE)

    def test_a_member_that_is_refused_later_is_no_job_of_its_own(
        self, ledger: Ledger, letter: Found
    ) -> None:
        job = recorded(ledger, letter)
        assert ledger.record_refused(found(LETTER[0], sha256=""), UNREADABLE) == job


class TestKnown:
    def test_a_restart_is_told_the_files_and_not_the_document(
        self, ledger: Ledger, letter: Found
    ) -> None:
        recorded(ledger, letter)
        queued(ledger, "other.pdf")
        standing = {each.source: each for each in ledger.in_inbox("invoices")}
        assert sorted(standing) == ["other.pdf", *LETTER]
        one, it = standing[LETTER[2]], found(LETTER[2])
        assert (one.size, one.mtime_ns, one.inode) == (it.size, it.mtime_ns, it.inode)

    def test_files_that_were_asked_for_are_found_whatever_stands_for_them(
        self, ledger: Ledger, letter: Found
    ) -> None:
        done(ledger, "done.pdf")
        recorded(ledger, letter)
        queued(ledger, "other.pdf")
        asked = [LETTER[1], "other.pdf", "done.pdf", "new.pdf"]
        told = ledger.active_in_inbox("invoices", asked)
        assert sorted(each.source for each in told) == ["other.pdf", LETTER[1]]
        assert ledger.active_in_inbox("letters", asked) == []


class TestWithdrawn:
    def test_what_waits_for_a_changed_file_gives_its_files_back(
        self, ledger: Ledger, letter: Found
    ) -> None:
        job = recorded(ledger, letter)
        changed = document("sub/letter", member(LETTER[1], mtime_ns=1))
        (gone,) = ledger.withdraw("invoices", [changed])
        assert (gone.id, gone.state, gone.place) == (job.id, JobState.CANCELLED, Place.GONE)
        assert gone.error is not None and gone.error.kind == "source-changed"
        assert ledger.events(job.id)[-1].name is Happening.GONE
        assert known(ledger) == []
        assert taken_next(ledger, now=0.0) is None

    def test_a_late_page_finds_its_document_by_name(self, ledger: Ledger, letter: Found) -> None:
        job = recorded(ledger, letter)
        late = document("sub/letter", "sub/letter_4.jpg")
        assert ledger.withdraw("invoices", [late]) == []
        assert [each.id for each in ledger.withdraw("invoices", [late], by_name=True)] == [job.id]

    def test_a_file_that_waits_alone_may_become_part_of_a_document(self, ledger: Ledger) -> None:
        alone = queued(ledger, "letter_1.jpg")
        both = document("letter", member("letter_1.jpg", mtime_ns=1), "letter_2.jpg")
        assert [each.id for each in ledger.withdraw("invoices", [both])] == [alone.id]

    def test_what_was_claimed_is_left_to_its_claim(self, ledger: Ledger, letter: Found) -> None:
        recorded(ledger, letter)
        taken_next(ledger, now=0.0)
        changed = document("sub/letter", member(LETTER[1], mtime_ns=1))
        assert ledger.withdraw("invoices", [changed], by_name=True) == []

    def test_what_a_claim_that_was_broken_off_may_have_in_the_spool_is_left_to_the_next(
        self, ledger: Ledger, letter: Found
    ) -> None:
        claim = claimed_letter(ledger, letter)
        ledger.release(claim, not_before=0.0, error=None, refund=True)  # as when the daemon stops
        late = document("sub/letter", "sub/letter_4.jpg")
        assert ledger.withdraw("invoices", [late], by_name=True) == []

    def test_of_another_folder_nothing_is(self, ledger: Ledger, letter: Found) -> None:
        recorded(ledger, letter)
        other = document("sub/letter", *LETTER, folder="letters")
        assert ledger.withdraw("letters", [other], by_name=True) == []


class TestEnded:
    def test_a_document_that_is_no_longer_whole_frees_its_files(
        self, ledger: Ledger, letter: Found
    ) -> None:
        job = claimed_letter(ledger, letter)
        gone = ledger.gone(job)
        assert (gone.state, gone.place) == (JobState.CANCELLED, Place.GONE)
        assert gone.error is not None and gone.error.kind == "source-changed"
        assert known(ledger) == []
        assert ledger.owner(gone.token) is None  # whatever the spool holds of it goes back
        assert recorded(ledger, letter).id != job.id

    def test_one_that_ends_while_its_files_stay_frees_them(
        self, ledger: Ledger, letter: Found
    ) -> None:
        job = ledger.failed(recorded(ledger, letter), Place.INBOX, cancelled=True)
        assert (job.state, job.place) == (JobState.CANCELLED, Place.GONE)
        assert ledger.retry([job.id]) == []
        assert recorded(ledger, letter).id != job.id

    def test_it_is_cancelled_retried_and_forgotten_like_any_other(
        self, ledger: Ledger, letter: Found, clock: Clock
    ) -> None:
        job = recorded(ledger, letter)
        assert [each.id for each in ledger.request_cancel([job.id])] == [job.id]
        ending = ledger.intend_failure(job, UNREADABLE, "/failed/sub/letter", cancelled=True)
        ended = ledger.failed(ledger.moved(ending), cancelled=True)
        (again,) = ledger.retry([ended.id])
        assert (again.state, again.place) == (JobState.QUEUED, Place.FAILED)
        assert again.members == letter.members
        claim = taken_next(ledger, now=0.0)
        assert claim is not None and ledger.owner(claim.token) == claim
        job = ledger.moved(claim)
        job = ledger.deliver(job, outputs="/outbox/letter", archived_to="/archive/letter")
        assert ledger.done(job).members == letter.members
        assert ledger.verify() == []
        (counted,) = glance(ledger.path).folders
        assert (counted.done, counted.waiting) == (1, 0)
        assert ledger.prune(clock.now + 1) == 1
        assert ledger.jobs() == []

    def test_new_contents_are_recorded_with_its_files(self, ledger: Ledger, letter: Found) -> None:
        job = claimed_letter(ledger, letter)
        now = document("sub/letter", member(LETTER[0], size=5), *LETTER[1:])
        after = ledger.rerecord(job, now)
        assert (after.members, after.size) == (now.members, now.size)

    def test_an_older_claim_withdraws_nothing(self, ledger: Ledger, letter: Found) -> None:
        before = recorded(ledger, letter)
        taken_next(ledger, now=0.0)
        with pytest.raises(FencedError):
            ledger.gone(before)
