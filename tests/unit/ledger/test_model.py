"""Any sequence of operations leaves the ledger as a plain dictionary says it should be."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from ocrd.job import Found, Job, JobError, JobState, Place
from ocrd.ledger.ledger import Ledger
from tests.support.needs import examples
from tests.unit.ledger.making import NO_TEXT, Clock, found, opened, taken_next

FOLDERS = ("a", "b", "c")
NAMES = ("1.pdf", "2.pdf", "3\n\udcff.pdf")
DELAY = 50.0
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {JobState.QUEUED, JobState.DELIVERING, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.DELIVERING: frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED}),
    JobState.DONE: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),  # `ocrd retry`
    JobState.CANCELLED: frozenset({JobState.QUEUED}),  # `ocrd retry`
}

files = st.builds(
    found,
    st.sampled_from(NAMES),
    st.sampled_from(FOLDERS),
    inode=st.integers(1, 3),
    sha256=st.sampled_from(("aa" * 32, "bb" * 32)),
    priority=st.integers(0, 2),
)
numbers = st.sets(st.integers(1, 12), max_size=4)


class Agreement(RuleBasedStateMachine):
    """The ledger, and beside it the jobs as the rules of the design have them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm")  # thousands of commits
        self.clock = Clock()
        self.path = Path(self.folder.name) / "ledger.db"
        self.ledger = opened(self.path, clock=self.clock)
        self.jobs: dict[int, Job] = {}
        self.last = 0

    def teardown(self) -> None:
        assert self.ledger.verify() == []
        self.ledger.close()
        self.folder.cleanup()

    def keep(self, job: Job, **expected: Any) -> None:
        """The ledger's answer, held against the model's: the old job with these changes."""
        before = self.jobs[job.id]
        assert job == replace(before, **expected)
        assert job.state is before.state or job.state in TRANSITIONS[before.state]
        self.jobs[job.id] = job

    def of(self, *states: JobState) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in states]

    def standing(self, file: Found) -> list[Job]:
        """Jobs at the inbox under this name, the one that counts first."""
        here = [
            job
            for job in self.jobs.values()
            if (job.place, job.folder, job.source) == (Place.INBOX, file.folder, file.source)
        ]
        order = [JobState.QUEUED, JobState.RUNNING, JobState.FAILED, JobState.CANCELLED]

        def rank(job: Job) -> tuple[int, int]:
            return min(order.index(job.state), order.index(JobState.FAILED)), -job.id

        return sorted(here, key=rank)

    @rule(file=files)
    def record(self, file: Found) -> None:
        standing = self.standing(file)
        (job,) = self.ledger.record([file])
        if standing and self.known(standing[0], file):
            assert job is None
        elif standing and standing[0].state is not JobState.RUNNING and not standing[0].ending:
            assert job is not None
            changes: dict[str, Any] = {"inode": file.inode, "priority": file.priority}
            if standing[0].state is not JobState.QUEUED:
                changes |= {"attempts": 0, "not_before": 0.0, "finished_at": None}
                changes |= {"failed_to": None}
            changes |= {"sha256": file.sha256, "state": JobState.QUEUED, "error": None}
            assert job.id == standing[0].id
            self.keep(job, **changes)
        else:
            assert job is not None and job.id == self.last + 1
            assert job.state is JobState.QUEUED and job.sha256 == file.sha256
            self.last = job.id
            self.jobs[job.id] = job

    def known(self, job: Job, file: Found) -> bool:
        """Whether nothing is new; an ended job's file may have become readable."""
        ended = job.state in (JobState.FAILED, JobState.CANCELLED)
        return job.inode == file.inode and (not ended or job.sha256 == file.sha256)

    @rule(excluded=st.sets(st.sampled_from(FOLDERS)))
    def claim(self, excluded: set[str]) -> None:
        ready = [
            job
            for job in self.of(JobState.QUEUED)
            if job.not_before <= self.clock.now
            and not job.cancel_requested
            and job.ending is None
            and job.folder not in excluded
        ]
        # What is due is due for good, whichever folder was asked for.
        for job in self.of(JobState.QUEUED):
            if job.not_before <= self.clock.now:
                self.jobs[job.id] = replace(job, not_before=0.0)
        claimed = taken_next(self.ledger, now=self.clock.now, exclude_folders=excluded)
        if not ready:
            assert claimed is None
            return
        first = min(ready, key=lambda job: (-job.priority, job.id))
        assert claimed is not None and claimed.id == first.id
        self.keep(
            claimed,
            state=JobState.RUNNING,
            attempts=first.attempts + 1,
            epoch=first.epoch + 1,
            started_at=self.clock.now,
            error=None,
        )

    @precondition(lambda self: self.of(JobState.RUNNING))
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.of(JobState.RUNNING)))
        failed_to = job.failed_to if job.ending else None
        self.keep(self.ledger.moved(job), place=Place.SPOOL, failed_to=failed_to)

    @precondition(lambda self: self.of(JobState.RUNNING))
    @rule(data=st.data(), refund=st.booleans(), later=st.booleans())
    def release(self, data: st.DataObject, refund: bool, later: bool) -> None:
        job = data.draw(st.sampled_from(self.of(JobState.RUNNING)))
        wait = self.clock.now + DELAY if later else 0.0
        replaced = job.place is Place.INBOX and any(
            other.state is JobState.QUEUED and other.ending is None
            for other in self.jobs.values()
            if (other.place, other.folder, other.source) == (Place.INBOX, job.folder, job.source)
        )
        back = self.ledger.release(job, not_before=wait, error=NO_TEXT, refund=refund)
        if replaced:
            assert back.error is not None and back.error.kind == "source-changed"
            self.ended(back, JobState.CANCELLED, Place.GONE, error=back.error, failed_to=None)
        else:
            attempts = job.attempts - refund
            self.keep(
                back, state=JobState.QUEUED, not_before=wait, attempts=attempts, error=NO_TEXT
            )

    def ended(self, job: Job, state: JobState, place: Place, **others: Any) -> None:
        others |= {"finished_at": self.clock.now, "cancel_requested": False, "ending": None}
        self.keep(job, state=state, place=place, **others)

    def under_way(self) -> list[Job]:
        claimed = (JobState.RUNNING, JobState.DELIVERING)
        return [job for job in self.jobs.values() if job.state in claimed or job.ending]

    @precondition(lambda self: self.under_way())
    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self.path, clock=self.clock)
        under_way = sorted(self.under_way(), key=lambda job: job.id)
        assert self.ledger.unfinished() == under_way
        job = data.draw(st.sampled_from(self.under_way()))
        attempts = job.attempts + (job.state is JobState.RUNNING)
        self.keep(self.ledger.resume(job), epoch=job.epoch + 1, attempts=attempts)

    @precondition(lambda self: self.of(JobState.RUNNING))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        free = [
            job
            for job in self.of(JobState.RUNNING)
            if not job.cancel_requested and job.place is Place.SPOOL
        ]
        if not free:
            return
        job = data.draw(st.sampled_from(free))
        names: dict[str, Any] = {"outputs": f"/outbox/{job.id}", "archived_to": f"/a/{job.id}"}
        self.keep(self.ledger.deliver(job, **names), state=JobState.DELIVERING, **names)

    @precondition(lambda self: self.of(JobState.DELIVERING))
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.of(JobState.DELIVERING)))
        self.ended(self.ledger.done(job), JobState.DONE, Place.ARCHIVE, error=None, failed_to=None)

    @precondition(lambda self: self.of(JobState.QUEUED, JobState.RUNNING))
    @rule(data=st.data(), cancelled=st.booleans())
    def intend(self, data: st.DataObject, cancelled: bool) -> None:
        job = data.draw(st.sampled_from(self.of(JobState.QUEUED, JobState.RUNNING)))
        failed_to = job.failed_to if job.place is Place.FAILED else f"/failed/{job.id}"
        self.keep(
            self.ledger.intend_failure(job, NO_TEXT, f"/failed/{job.id}", cancelled=cancelled),
            ending=JobState.CANCELLED if cancelled else JobState.FAILED,
            failed_to=failed_to,
            error=NO_TEXT,
        )

    @precondition(lambda self: any(job.ending for job in self.jobs.values()))
    @rule(data=st.data(), movable=st.booleans())
    def end(self, data: st.DataObject, movable: bool) -> None:
        job = data.draw(st.sampled_from([job for job in self.jobs.values() if job.ending]))
        assert job.ending is not None
        place = Place.FAILED if movable else job.place
        failed_to = job.failed_to if place is Place.FAILED else None
        ended = self.ledger.failed(job, place, cancelled=job.ending is JobState.CANCELLED)
        self.ended(ended, job.ending, place, failed_to=failed_to)

    @precondition(lambda self: self.of(JobState.QUEUED))
    @rule(data=st.data())
    def gone(self, data: st.DataObject) -> None:
        job = self.ledger.gone(data.draw(st.sampled_from(self.of(JobState.QUEUED))))
        assert isinstance(job.error, JobError) and job.error.kind == "source-gone"
        self.ended(job, JobState.CANCELLED, Place.GONE, error=job.error, failed_to=None)

    @rule(asked=numbers)
    def request_cancel(self, asked: set[int]) -> None:
        can = [
            job.id
            for job in self.of(JobState.QUEUED, JobState.RUNNING)
            if job.id in asked and job.ending is None and not job.cancel_requested
        ]
        answered = self.ledger.request_cancel(asked)
        assert [job.id for job in answered] == sorted(can)
        for job in answered:
            self.keep(job, cancel_requested=True)
        wanted = [job for job in self.jobs.values() if job.cancel_requested]
        assert self.ledger.cancellations() == sorted(
            (job for job in wanted if job.state is not JobState.DELIVERING),
            key=lambda job: job.id,
        )

    @rule(asked=st.none() | numbers)
    def retry(self, asked: set[int] | None) -> None:
        states = (JobState.FAILED,) if asked is None else (JobState.FAILED, JobState.CANCELLED)
        can = [
            job.id
            for job in self.of(*states)
            if (asked is None or job.id in asked)
            and job.place is not Place.GONE
            and not (job.place is Place.INBOX and self.has_a_newer(job))
        ]
        back = self.ledger.retry(asked)
        assert [job.id for job in back] == sorted(can)
        for job in back:
            fresh = {"attempts": 0, "not_before": 0.0, "error": None}
            fresh |= {"started_at": None, "finished_at": None}
            self.keep(job, state=JobState.QUEUED, **fresh)

    def has_a_newer(self, job: Job) -> bool:
        others = [
            other
            for other in self.jobs.values()
            if (other.place, other.folder, other.source) == (Place.INBOX, job.folder, job.source)
            and other.id != job.id
        ]
        active = (JobState.QUEUED, JobState.RUNNING)
        return any(other.state in active or other.id > job.id for other in others)

    @rule(limit=st.integers(1, 3))
    def prune(self, limit: int) -> None:
        over = self.of(JobState.FAILED, JobState.CANCELLED)
        moot = [job for job in over if job.place is Place.GONE]  # nobody can retry them
        ended = [*self.of(JobState.DONE), *moot]
        old = [job for job in ended if (job.finished_at or 0) < self.clock.now]
        assert self.ledger.prune(before=self.clock.now, limit=limit) == min(limit, len(old))
        left = {job.id for job in self.ledger.jobs(limit=10_000)}
        for job in old:
            if job.id not in left:
                del self.jobs[job.id]

    @rule(seconds=st.sampled_from([1.0, DELAY, 3_600.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def the_ledger_holds_what_the_model_holds(self) -> None:
        assert {job.id: job for job in self.ledger.jobs(limit=10_000)} == self.jobs

    @invariant()
    def the_counts_are_those_of_the_jobs(self) -> None:
        assert self.ledger.counts() == Counter(
            (job.folder, job.state) for job in self.jobs.values()
        )


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(
    max_examples=examples(40),
    stateful_step_count=30,
    deadline=None,
    derandomize=True,  # the same sequences everywhere
    suppress_health_check=[HealthCheck.too_slow],
)
