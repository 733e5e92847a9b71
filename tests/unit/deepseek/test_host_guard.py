"""The incremental guard bans exactly what the plain rule bans, whatever happens to the batch."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ocrd.engine.deepseek.ngram import HostGuard, NgramRule
from tests.support.needs import examples
from tests.unit.deepseek.plain_rule import banned_tokens

SLOTS = 4
OFFICIAL = [NgramRule(30, 90), NgramRule(20, 50), NgramRule(40, 90)]

rules = st.builds(
    lambda ngram, more, allowed: NgramRule(ngram, ngram + more, allowed),
    st.integers(2, 6),
    st.integers(0, 9),
    st.frozensets(st.integers(0, 2), max_size=2),
)
slots = st.integers(0, SLOTS - 1)
Request = tuple[NgramRule | None, list[int]]


def expected_bans(batch: dict[int, Request]) -> set[tuple[int, int]]:
    return {
        (slot, token)
        for slot, (rule, answer) in batch.items()
        if rule is not None
        for token in banned_tokens(answer, rule)
    }


class Traffic(RuleBasedStateMachine):
    """Requests come, go and change places while their answers grow."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = HostGuard()
        self.batch: dict[int, Request] = {}

    @rule(slot=slots, wanted=st.none() | rules, begun=st.lists(st.integers(0, 2), max_size=20))
    def a_request_comes(self, slot: int, wanted: NgramRule | None, begun: list[int]) -> None:
        self.batch[slot] = wanted, begun
        self.guard.add(slot, wanted, begun)

    @rule(slot=slots)
    def a_request_goes(self, slot: int) -> None:
        self.batch.pop(slot, None)
        self.guard.remove(slot)

    @rule(source=slots, other=slots)
    def a_request_moves(self, source: int, other: int) -> None:
        if source in self.batch:
            self.batch[other] = self.batch.pop(source)
            self.guard.move(source, other)

    @rule(one=slots, other=slots)
    def two_change_places(self, one: int, other: int) -> None:
        self.guard.swap(one, other)
        places = {one: other, other: one}
        self.batch = {places.get(slot, slot): held for slot, held in self.batch.items()}

    @rule(tokens=st.lists(st.integers(0, 2), min_size=SLOTS, max_size=SLOTS))
    def all_get_a_token(self, tokens: list[int]) -> None:
        for slot, (_, answer) in self.batch.items():
            answer.append(tokens[slot])

    @rule(slot=slots, tokens=st.lists(st.integers(0, 2), max_size=3))
    def one_gets_several(self, slot: int, tokens: list[int]) -> None:
        if slot in self.batch:
            self.batch[slot][1].extend(tokens)

    @invariant()
    def what_is_banned_is_what_the_rule_bans(self) -> None:
        banned = self.guard.step()
        assert set(zip(*banned, strict=True)) == expected_bans(self.batch)
        assert self.guard.step() == banned  # asking again changes nothing


Traffic.TestCase.settings = settings(
    max_examples=examples(80), stateful_step_count=60, deadline=None
)
TestTraffic = Traffic.TestCase


def test_tokens_still_on_their_way_are_waited_for() -> None:
    guard = HostGuard()
    answer = [1, 2, -1]
    guard.add(0, NgramRule(2, 8), answer)
    assert guard.step() == ([], [])
    answer[2:] = [1]
    assert guard.step() == ([0], [2])
    answer.append(-1)
    assert guard.step() == ([0], [2])


def test_an_answer_that_lost_its_last_tokens_is_read_anew() -> None:
    guard = HostGuard()
    answer = [1, 2, 3, 1, 2]
    guard.add(0, NgramRule(3, 12), answer)
    assert guard.step() == ([0], [3])
    del answer[3:]
    assert guard.step() == ([], [])
    answer.extend([1, 2])
    assert guard.step() == ([0], [3])
    answer.append(4)
    assert guard.step() == ([], [])
    del answer[5:]
    assert guard.step() == ([0], [3])


def test_long_answers_under_the_official_rules() -> None:
    chance = random.Random(5)
    guard = HostGuard()
    batch: dict[int, Request] = {}
    for slot in range(len(OFFICIAL) * 3):
        batch[slot] = OFFICIAL[slot % 3], []
        guard.add(slot, *batch[slot])
    row = [chance.randrange(200) for _ in range(25)]
    bans = 0
    for step in range(260):
        for slot, (_, answer) in batch.items():
            style = slot // 3
            if style == 0:
                answer.append(chance.randrange(129280))  # prose
            elif style == 1:
                answer.append(row[step % len(row)])  # a loop
            else:  # a table: rows alike but for a cell
                answer.append(row[step % 25] if step % 25 != 7 else chance.randrange(200, 300))
        banned = set(zip(*guard.step(), strict=True))
        assert banned == expected_bans(batch)
        bans += len(banned)
    assert bans > 100
