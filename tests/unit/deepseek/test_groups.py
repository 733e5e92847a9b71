"""Pages that begin in groups, in a day made of steps whose clock the test moves."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from ocrd.engine.deepseek.groups import LONGEST_S, PageGroups
from tests.support.needs import few

PLACES = 256
STEP_S = 0.01


@dataclass
class Engine:
    """Reads pages of so many steps each; a step takes in at most `step` of them."""

    places: int = PLACES
    step: int = 17
    now: float = 0.0
    running: list[int] = field(default_factory=list)  # steps that are left
    waiting: list[float] = field(default_factory=list)  # since when
    begun: list[int] = field(default_factory=list)  # pages taken in, of each step that took any
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.groups = PageGroups(self.places, lambda: self.now)

    def arrive(self, pages: int = 1) -> None:
        self.waiting += [self.now] * pages

    def tick(self, length: int) -> None:
        """One step; pages that begin in it take so many."""
        if self.groups.admits(len(self.running), len(self.waiting)):
            count = min(self.step, self.places - len(self.running), len(self.waiting))
            begun, self.waiting = self.waiting[:count], self.waiting[count:]
            self.waits += [self.now - since for since in begun]
            self.running += [length] * count
            self.begun += [count] if count else []
        self.now += STEP_S
        self.running = [left - 1 for left in self.running if left > 1]


def test_a_lone_page_begins_at_once() -> None:
    engine = Engine()
    for _ in range(5):
        engine.arrive()
        engine.tick(length=3)
    assert engine.waits == [0.0] * 5


def test_an_empty_engine_is_filled_at_full_speed() -> None:
    engine = Engine()
    engine.arrive(PLACES)
    for _ in range(16):
        engine.tick(length=1000)
    assert len(engine.running) == PLACES


def test_where_answers_end_one_by_one_pages_begin_together() -> None:
    """Without groups every step of this day takes in a page or two."""
    engine, chance = Engine(), random.Random(7)
    engine.arrive(2000)
    while engine.waiting:
        engine.tick(length=chance.randint(40, 120))
    assert sum(engine.begun) == 2000
    assert sum(engine.begun) / len(engine.begun) > 10


def test_a_page_beside_a_few_others_waits_no_longer_than_its_share_of_the_bound() -> None:
    engine = Engine()
    engine.arrive(64)
    while len(engine.running) < 64:
        engine.tick(length=10_000)
    engine.tick(length=10_000)
    engine.arrive()
    while engine.waiting:
        engine.tick(length=10_000)
    assert 0 < engine.waits[-1] <= LONGEST_S * 64 / PLACES + STEP_S


@pytest.mark.parametrize("seed", few(range(20)))
@pytest.mark.parametrize("places", [1, 7, 16, 100, 256])
def test_nobody_waits_for_others_longer_than_the_bound(places: int, seed: int) -> None:
    """Whatever comes, a page that could begin does so within the bound, and none is forgotten."""
    chance = random.Random(seed)
    engine, could = Engine(places=places, step=chance.choice((1, 4, 17))), 0.0
    for step in range(1500):
        if step < 1000 and chance.random() < chance.choice((0.05, 0.5)):
            engine.arrive(chance.choice((1, 1, 1, 40)))
        free = min(len(engine.waiting), places - len(engine.running)) > 0
        before = sum(engine.begun)
        engine.tick(length=chance.randint(1, 60))
        could = could + STEP_S if free and sum(engine.begun) == before else 0.0
        assert could <= LONGEST_S + 2 * STEP_S
    while engine.waiting:
        engine.tick(length=5)


def test_a_small_engine_takes_each_page_as_it_comes() -> None:
    engine = Engine(places=8)
    engine.arrive(20)
    while engine.waiting:
        could = len(engine.running) < 8
        before = len(engine.begun)
        engine.tick(length=len(engine.waiting))
        assert len(engine.begun) == before + could
