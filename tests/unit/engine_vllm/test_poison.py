"""Which page kills the engine?"""

from hypothesis import given
from hypothesis import strategies as st

from ocrd.engine.poison import KnownKillers, PoisonSearch
from ocrd.events import Events


def searching() -> PoisonSearch:
    return PoisonSearch(KnownKillers(), Events())


def find(pages: list[str], killers: set[str]) -> tuple[set[str], int]:
    """Run all pages as an engine would: whoever may enters; a killer kills when all are in."""
    suspects, waiting, convicted, deaths = searching(), list(pages), set[str](), 0
    while waiting:
        crowd: list[str] = []
        for page in waiting:
            if suspects.may_enter(page, crowd):
                crowd.append(page)
        assert crowd, "nobody may enter an empty engine"
        if killers & set(crowd):
            deaths += 1
            verdict = suspects.died(crowd)
            if verdict is not None:
                convicted.add(verdict)
                waiting.remove(verdict)
        else:
            for page in crowd:
                suspects.left(page, finished=True)
                waiting.remove(page)
        assert deaths < 200
    return convicted, deaths


def test_one_killer_among_512_costs_four_deaths() -> None:
    pages = [f"p{n}" for n in range(512)]
    convicted, deaths = find(pages, {"p300"})
    assert convicted == {"p300"}
    assert deaths <= 5


def test_a_page_is_convicted_when_it_was_alone_at_two_deaths_in_a_row() -> None:
    suspects = searching()
    assert suspects.died(["p"]) is None
    suspects.left("p", finished=True)
    assert suspects.died(["p"]) is None, "it came through in between"
    assert "p" in suspects
    assert suspects.died(["p"]) == "p"
    assert len(suspects) == 0


def test_while_there_are_suspects_nobody_else_may_enter() -> None:
    suspects = searching()
    assert suspects.died([]) is None
    assert suspects.may_enter("other", ["another"]), "nobody was accused"
    suspects.died(["a", "b"])
    assert suspects.may_enter("a", [])
    assert not suspects.may_enter("b", ["a"])
    assert not suspects.may_enter("other", [])
    for given_up in "ab":
        suspects.left(given_up, finished=False)
    assert suspects.may_enter("other", ["another"])


def test_suspects_of_different_crowds_do_not_mix() -> None:
    suspects = searching()
    suspects.died([f"p{n}" for n in range(64)])
    suspects.died([f"p{n}" for n in range(8)])
    assert suspects.may_enter("p20", ["p21"])
    assert not suspects.may_enter("p0", ["p21"])


def test_when_page_after_page_is_convicted_it_is_the_engine() -> None:
    suspects = searching()
    for page in "abc":
        suspects.died([page])
        assert suspects.died([page]) == page
    assert suspects.engine_at_fault
    suspects.died(["d"])
    assert suspects.died(["d"]) is None, "nobody more is convicted"
    suspects.left("e", finished=True)
    assert not suspects.engine_at_fault


@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=2))
def test_all_killers_are_found_and_nobody_else(count: int, chosen: set[int]) -> None:
    pages = [f"p{n}" for n in range(count)]
    killers = {f"p{n}" for n in chosen if n < count}
    convicted, _ = find(pages, killers)
    assert convicted == killers
