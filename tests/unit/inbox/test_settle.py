from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.files import FileFacts
from ocrd.inbox.settle import Candidate, Settler, Sign

SETTLE, MAX_WAIT, REOFFER = 5, 60, 30
SCAN = FileFacts(size=100, mtime_ns=1, inode=7)
GROWN = FileFacts(size=200, mtime_ns=2, inode=7)
EMPTY = FileFacts(size=0, mtime_ns=1, inode=7)


def scan(size: int, mtime_ns: int) -> FileFacts:
    return FileFacts(size=size, mtime_ns=mtime_ns, inode=7)


def settler() -> Settler:
    return Settler(SETTLE, MAX_WAIT, reoffer_s=REOFFER)


def test_many_events_in_one_instant_ask_for_one_look() -> None:
    s = settler()
    for _ in range(10):
        s.event("scan.pdf", 0)
    assert s.due(0) == ["scan.pdf"]
    assert s.due(0) == []


def test_looks_can_be_asked_for_a_few_at_a_time() -> None:
    s = settler()
    for number in range(5):
        s.event(f"{number}.pdf", number)
    assert s.due(9, limit=2) == ["0.pdf", "1.pdf"]
    assert s.due(9, limit=9) == ["2.pdf", "3.pdf", "4.pdf"]


def test_it_says_whether_there_is_anything_to_look_at() -> None:
    s = settler()
    assert s.next_due() > 1e9
    s.observe("scan.pdf", SCAN, 0)
    assert s.next_due() == 5


def test_where_content_is_not_awaited_an_empty_file_settles_like_any_other() -> None:
    s = settler()
    s.observe("scan.pdf", EMPTY, 0)
    assert not s.observe("scan.pdf", EMPTY, SETTLE - 1)
    assert s.observe("scan.pdf", EMPTY, SETTLE)


def test_a_clock_that_steps_back_makes_files_wait_longer_never_shorter() -> None:
    s = settler()
    s.observe("scan.pdf", SCAN, 100)
    assert not s.observe("scan.pdf", SCAN, 50)
    assert s.due(104) == []
    assert s.observe("scan.pdf", SCAN, 105)


def test_only_those_that_wait_too_long_are_overdue() -> None:
    s = settler()
    s.observe("old.pdf", EMPTY, 0, awaited=True)
    s.observe("new.pdf", EMPTY, 30, awaited=True)
    assert list(s.overdue(70)) == ["old.pdf"]
    assert list(s) == ["old.pdf", "new.pdf"]


def test_a_file_written_without_end_leaves_no_trail_in_memory() -> None:
    s = settler()
    tracemalloc.start()
    try:
        for tick in range(5_000):
            s.event("log.pdf", tick / 100)
            s.observe("log.pdf", replace(SCAN, size=tick), tick / 100)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 125_000  # two heap entries for each tick would be a megabyte


# -- what was heard of it ------------------------------------------------------------------------


def quick() -> Settler:
    return Settler(SETTLE, MAX_WAIT, closed_s=2)


@pytest.mark.parametrize("sign", [Sign.MOVED, Sign.CREATED])
def test_what_was_renamed_or_linked_in_is_whole(sign: Sign) -> None:
    s = quick()
    s.event("scan.pdf", 0, sign)
    assert s.observe("scan.pdf", SCAN, 0) is None
    assert s.observe("scan.pdf", SCAN, 0.1) == Candidate("scan.pdf", SCAN)


def test_what_was_written_and_closed_once_rests_less_and_needs_proof() -> None:
    s = quick()
    for sign in (Sign.CREATED, Sign.WRITTEN, Sign.CLOSED):
        s.event("scan.pdf", 0, sign)
    assert s.observe("scan.pdf", SCAN, 0) is None
    assert s.observe("scan.pdf", SCAN, 1.9) is None
    assert s.observe("scan.pdf", SCAN, 2) == Candidate("scan.pdf", SCAN, unproven=True)
    s.doubt("scan.pdf", 2)
    assert s.observe("scan.pdf", SCAN, 4.9) is None
    assert s.observe("scan.pdf", SCAN, 5) == Candidate("scan.pdf", SCAN)


@pytest.mark.parametrize(
    ("name", "signs"),
    [
        ("scan.pdf", [Sign.CREATED, Sign.WRITTEN]),  # still open
        ("scan.pdf", [Sign.CLOSED, Sign.WRITTEN, Sign.CLOSED]),  # by a scanner that reopens it
        ("scan.TIF", [Sign.CREATED, Sign.WRITTEN, Sign.CLOSED]),  # a page may be appended
        ("scan.pdf", [Sign.MOVED, Sign.WRITTEN]),
        ("scan.pdf", [Sign.LOOK]),
    ],
)
def test_all_else_rests_for_the_settle_time(name: str, signs: list[Sign]) -> None:
    s = quick()
    for sign in signs:
        s.event(name, 0, sign)
    s.observe(name, SCAN, 0)
    assert s.observe(name, SCAN, 4.9) is None
    assert s.observe(name, SCAN, 5) == Candidate(name, SCAN)


def test_a_change_that_no_event_told_of_ends_every_haste() -> None:
    s = quick()
    s.event("scan.pdf", 0, Sign.CLOSED)
    s.observe("scan.pdf", SCAN, 0)
    s.observe("scan.pdf", GROWN, 2)
    assert s.observe("scan.pdf", GROWN, 6.9) is None
    assert s.observe("scan.pdf", GROWN, 7)


# -- what was taken ------------------------------------------------------------------------------


def with_taken(*names: str) -> Settler:
    s = settler()
    s.recall((name, SCAN) for name in names)
    return s


def test_what_a_scan_of_everything_does_not_meet_has_left_and_is_new_when_it_comes_back() -> None:
    s = with_taken("stays.pdf", "goes.pdf")
    s.begin_scan()
    s.observe("stays.pdf", SCAN, 0)
    s.event("new.pdf", 0)
    s.observe("new.pdf", SCAN, 0)
    s.taken(Candidate("new.pdf", SCAN))
    s.end_scan()
    assert s.left == ["goes.pdf"]
    for name in ("stays.pdf", "goes.pdf", "new.pdf"):
        s.observe(name, SCAN, 1)
    assert list(s) == ["goes.pdf"]


def test_a_scan_that_was_broken_off_takes_nothing_for_gone() -> None:
    s = with_taken("scan.pdf")
    s.begin_scan()
    s.begin_scan()
    s.observe("scan.pdf", SCAN, 0)
    s.end_scan()
    assert (s.left, len(s)) == ([], 0)


# -- the rule, written plainly, over everything that was seen and told --------------------------


@dataclass
class Told:
    """All that a settler was told of one path, and the rule read off it from the beginning."""

    looks: list[tuple[int, FileFacts]] = field(default_factory=list)
    events: list[int] = field(default_factory=list)  # positions in `looks` that they precede
    offers: list[int] = field(default_factory=list)  # likewise, of looks that offered the file

    def complete(self) -> bool:
        """At the last look: the same all through the settle time, and worth offering (again)."""
        now, last = self.looks[-1]
        run = len(self.looks) - 1  # where the unbroken run of looks like the last one begins
        while run > 0 and self.looks[run - 1][1] == last and run not in self.events:
            run -= 1
        rested = now - self.looks[run][0] >= SETTLE
        patient = last.size > 0 or now - self.looks[0][0] >= MAX_WAIT
        recent = any(at >= run and now - self.looks[at][0] < REOFFER for at in self.offers)
        return rested and patient and not recent and len(self.looks) - 1 > run


steps = st.lists(
    st.tuples(
        st.integers(0, 12),  # seconds since the step before
        st.sampled_from(["look", "look", "look", "event", "touch", "grow", "empty", "replace"]),
    ),
    min_size=1,
    max_size=60,
)


@given(steps)
def test_a_settler_follows_the_rule_whatever_happens(steps: list[tuple[int, str]]) -> None:
    s, told, now, seen = settler(), Told(), 0, SCAN
    for wait, action in steps:
        now += wait
        if action == "event":
            if told.looks:  # before the first look there is nothing to interrupt
                s.event("f", now)
                told.events.append(len(told.looks))
            continue
        seen = {
            "look": seen,
            "touch": replace(seen, mtime_ns=seen.mtime_ns + 1),
            "grow": replace(seen, size=seen.size + 1),
            "replace": replace(seen, inode=seen.inode + 1),
            "empty": replace(EMPTY, mtime_ns=now),
        }[action]
        told.looks.append((now, seen))
        expected = told.complete()
        assert (s.observe("f", seen, now, awaited=seen.size == 0) is not None) == expected
        if expected:
            told.offers.append(len(told.looks) - 1)


# -- scanners, second by second: whoever is told looks when asked, and sometimes of himself -----


@dataclass
class Scanner:
    """Writes pages at given seconds; between them the file lies there, closed."""

    writes: list[int]

    def file(self, now: int) -> FileFacts | None:
        written = [at for at in self.writes if at <= now]
        return scan(len(written) * 1000, written[-1]) if written else None


def offered_at(scanner: Scanner, *, events: set[int], rescans: set[int]) -> int | None:
    """The second in which the file is offered; events and rescans may be missing."""
    s = settler()
    for now in range(600):
        if now in scanner.writes and now in events:
            s.event("scan.pdf", now)
        looks = s.due(now) + (["scan.pdf"] if now in rescans else [])
        if any(s.observe(path, scanner.file(now), now) for path in looks):
            return now
    return None


pages = st.lists(st.integers(0, SETTLE - 1), min_size=1, max_size=30).map(
    lambda pauses: [sum(pauses[: n + 1]) for n in range(len(pauses))]
)


@given(pages, st.data())
def test_pages_with_pauses_below_the_settle_time_make_one_document(
    writes: list[int], data: st.DataObject
) -> None:
    heard = data.draw(st.sets(st.sampled_from(writes)))
    rescans = data.draw(st.sets(st.integers(0, 200), max_size=20))
    found = offered_at(Scanner(writes), events=heard, rescans=rescans | {250})
    assert found is not None
    assert found >= max(writes) + SETTLE


@given(pages)
def test_where_every_event_is_heard_the_file_is_offered_at_the_first_chance(
    writes: list[int],
) -> None:
    found = offered_at(Scanner(writes), events=set(writes), rescans=set())
    assert found == max(writes) + SETTLE


def test_a_lost_last_event_is_made_up_for_by_the_look_at_the_end_of_the_settle_time() -> None:
    # Heard at 0; at 5 the look sees what was written at 3 and waits once more.
    assert offered_at(Scanner([0, 3]), events={0}, rescans=set()) == 10
