"""A folder waits for its place, is tried now and then, and goes on by itself."""

from ocrd.daemon.pauses import FIRST_DELAY_S, LONGEST_DELAY_S, Pauses
from ocrd.errors import PlaceError

FULL = PlaceError("/srv: no space left", hint="Free some space.", kind="disk-full")


def test_only_the_first_of_many_jobs_that_stall_is_news() -> None:
    pauses = Pauses()
    assert pauses.met("a", FULL, now=100.0)
    assert not pauses.met("a", FULL, now=100.1)
    assert (pauses.now["a"].kind, pauses.now["a"].since) == ("disk-full", 100.0)


def test_other_folders_go_on() -> None:
    pauses = Pauses()
    pauses.met("a", FULL, now=0.0)
    assert set(pauses.now) == {"a"}


def test_it_is_tried_again_later_and_later_up_to_a_minute() -> None:
    pauses, now, waits = Pauses(), 0.0, []
    pauses.met("a", FULL, now)
    for _ in range(8):
        until = pauses.now["a"].until
        assert pauses.due(until - 0.01) == []
        assert pauses.due(until) == ["a"]
        waits.append(until - now)
        now = until
        pauses.met("a", FULL, now)
    assert waits == [FIRST_DELAY_S, 4.0, 8.0, 16.0, 32.0, *[LONGEST_DELAY_S] * 3]


def test_many_jobs_that_stall_in_one_try_are_one_failure() -> None:
    pauses = Pauses()
    pauses.met("a", FULL, now=0.0)
    for _ in range(10):
        pauses.met("a", FULL, now=FIRST_DELAY_S)
    assert pauses.now["a"].delay == 2 * FIRST_DELAY_S


def test_a_clock_that_is_put_back_makes_nobody_wait_for_hours() -> None:
    pauses, back = Pauses(), 10_000.0
    pauses.met("a", FULL, now=20_000.0)
    assert pauses.due(back) == ["a"]
    pauses.met("a", FULL, now=back)
    assert pauses.due(back + 1.0) == []
    assert pauses.due(back + 2 * FIRST_DELAY_S) == ["a"]


def test_an_ended_pause_is_told_once_and_forgotten() -> None:
    pauses = Pauses()
    pauses.met("a", FULL, now=0.0)
    ended = pauses.ended("a")
    assert ended is not None
    assert ended.hint == "Free some space."
    assert pauses.ended("a") is None
    assert pauses.due(1e9) == []
