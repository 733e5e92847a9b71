"""Who waits for a place is tried now and then, and goes on by itself; others are not held up."""

from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.config.schema import JobsSettings
from ocrd.daemon.retries import (
    FIRST_DELAY_S,
    LONGEST_PAUSE_S,
    Outcome,
    Waits,
    outcome,
)
from ocrd.errors import (
    BadFileError,
    EngineDownError,
    LedgerError,
    MemoryShortError,
    OcrdError,
    PageFaultError,
    PlaceError,
    SourceChangedError,
)
from ocrd.job import JobState
from tests.unit.spool.world import job_of

FULL = PlaceError("/srv: no space left", hint="Free some space.", kind="disk-full")
TREE = Path("/srv/inbox/scans")
GIVEN = JobsSettings(max_attempts=3, retry_delay_s=5.0, retry_max_s=60.0)


def waits() -> Waits:
    return Waits(LONGEST_PAUSE_S)


def test_only_the_first_of_many_jobs_that_stall_is_news() -> None:
    paused = waits()
    assert paused.met("a", FULL, now=100.0)
    assert not paused.met("a", FULL, now=100.1)
    assert (paused.now["a"].error.kind, paused.now["a"].since) == ("disk-full", 100.0)
    assert paused.over("b", 100.1)


def test_it_is_tried_again_later_and_later_up_to_a_minute() -> None:
    paused, now, delays = waits(), 0.0, []
    paused.met("a", FULL, now)
    for _ in range(8):
        until = paused.now["a"].until
        assert not paused.over("a", until - 0.01)
        assert paused.over("a", until)
        delays.append(until - now)
        now = until
        paused.met("a", FULL, now)
    assert delays == [FIRST_DELAY_S, 4.0, 8.0, 16.0, 32.0, *[LONGEST_PAUSE_S] * 3]


def test_many_jobs_that_stall_in_one_try_are_one_failure() -> None:
    paused = waits()
    paused.met("a", FULL, now=0.0)
    for _ in range(10):
        paused.met("a", FULL, now=FIRST_DELAY_S)
    assert paused.now["a"].delay == 2 * FIRST_DELAY_S


def test_a_clock_that_is_put_back_makes_nobody_wait_for_hours() -> None:
    paused, back = waits(), 10_000.0
    paused.met("a", FULL, now=20_000.0)
    assert paused.over("a", back)
    paused.met("a", FULL, now=back)
    assert not paused.over("a", back + 1.0)
    assert paused.over("a", back + 2 * FIRST_DELAY_S)


def at(path: Path | None, kind: str) -> PlaceError:
    error = PlaceError("closed", hint="Open it.", kind=kind)
    error.path = path
    return error


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (at(TREE / "sub", "no-permission"), Outcome.HOLD),
        (at(TREE / "sub/a", "invalid-name"), Outcome.HOLD),
        (at(TREE / "sub/a", "blocked"), Outcome.HOLD),
        (at(TREE, "no-permission"), Outcome.PAUSE),  # the tree itself
        (at(None, "no-permission"), Outcome.PAUSE),
        (at(TREE / "sub", "disk-full"), Outcome.PAUSE),
        (at(TREE / "sub", "read-only"), Outcome.PAUSE),
        (MemoryShortError("no memory", hint="More."), Outcome.HOLD),
        (EngineDownError("a child was ended", hint="More.", kind="no-memory"), Outcome.HOLD),
        (LedgerError("locked", hint="Wait."), Outcome.PAUSE),
        (EngineDownError("down", hint="Wait."), Outcome.PAUSE),
        (BadFileError("damaged", hint="Scan it again."), Outcome.FAIL),
        (SourceChangedError("changed", hint="Nothing."), Outcome.CHANGED),
        (PageFaultError("crashed", hint="Again."), Outcome.RETRY),
    ],
)
def test_each_error_has_its_consequence(tmp_path: Path, error: OcrdError, wanted: Outcome) -> None:
    (tmp_path / "a").touch()
    job = replace(job_of(tmp_path / "a", "a"), state=JobState.RUNNING, attempts=1)
    assert outcome(GIVEN, job, [TREE], error) is wanted


def test_the_last_attempt_fails_and_a_job_that_ends_is_held_instead(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    job = replace(job_of(tmp_path / "a", "a"), state=JobState.RUNNING, attempts=3)
    fault = PageFaultError("crashed", hint="Again.")
    assert outcome(GIVEN, job, [TREE], fault) is Outcome.FAIL
    ending = replace(job, state=JobState.DELIVERING)
    assert outcome(GIVEN, ending, [TREE], fault) is Outcome.HOLD
