"""Two engines as one: the first while it has room, the second for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ocrd.engine.base import Engine, EngineReport, EngineState
from ocrd.engine.mixed import AGAIN_S, MixedEngine
from ocrd.errors import EngineDownError, EngineSetupError
from ocrd.events import Event, Events
from ocrd.page import PageResult
from tests.support.samples import Scan
from tests.support.waiting import HANG_S
from tests.unit.engine.contract import ReadingContract, pixels, request, ticket
from tests.unit.engine.fake import FakeEngine, words_of


class TestMixed(ReadingContract):
    def make(self) -> Engine:
        return MixedEngine(FakeEngine(delay_s=0.01), FakeEngine(workers=3, delay_s=0.01))

    def says(self, result: PageResult, scan: Scan) -> bool:
        return words_of(pixels(scan)) in result.text


class Broken(FakeEngine):
    """Does not come up as often as it is told."""

    kind = "broken"

    def __init__(self, *errors: EngineDownError | EngineSetupError) -> None:
        super().__init__()
        self._errors = list(errors)

    async def start(self, progress: Callable[[str], None]) -> None:
        if self._errors:
            raise self._errors.pop(0)
        await super().start(progress)


def down() -> EngineDownError:
    return EngineDownError("Nobody answers.", hint="Start it.")


def wrong() -> EngineSetupError:
    return EngineSetupError("No such model.", hint="Correct it.", kind="model")


async def started(local: FakeEngine, servers: FakeEngine) -> MixedEngine:
    engine = MixedEngine(local, servers)
    await engine.start(lambda _stage: None)
    return engine


async def read(engine: Engine, pages: int) -> None:
    asked = [engine.recognise(request(pixels(ticket(n)), name=str(n))) for n in range(pages)]
    await asyncio.gather(*asked)


@pytest.mark.parametrize(("pages", "local", "servers"), [(1, 1, 0), (2, 2, 0), (5, 2, 3)])
async def test_the_first_reads_what_it_has_room_for(pages: int, local: int, servers: int) -> None:
    first, second = FakeEngine(delay_s=0.2), FakeEngine(workers=4, delay_s=0.2)
    engine = await started(first, second)
    await read(engine, pages)
    assert (len(first.requests), len(second.requests)) == (local, servers)
    await engine.stop()


@pytest.mark.parametrize("stopped", [0, 1])
async def test_pages_of_a_half_that_goes_down_are_read_by_the_other(stopped: int) -> None:
    halves = FakeEngine(delay_s=0.3), FakeEngine(delay_s=0.3)
    engine = await started(*halves)
    reading = asyncio.create_task(read(engine, 4))
    await asyncio.sleep(0.1)
    await halves[stopped].stop()
    await reading
    assert engine.report().state is EngineState.READY
    await read(engine, 3)
    await engine.stop()


async def test_with_both_down_pages_are_sent_away() -> None:
    halves = FakeEngine(), FakeEngine()
    engine = await started(*halves)
    await asyncio.gather(*(half.stop() for half in halves))
    with pytest.raises(EngineDownError):
        await read(engine, 1)


@pytest.mark.parametrize("late", [0, 1])
async def test_a_half_that_comes_up_late_joins(late: int) -> None:
    tries: list[float] = []

    async def sleep(seconds: float) -> None:
        tries.append(seconds)
        await asyncio.sleep(0)

    halves = [FakeEngine(), FakeEngine()]
    halves[late] = Broken(down(), down(), down())
    told: list[Event] = []
    engine = MixedEngine(*halves, events=Events(told.append), sleep=sleep)
    await engine.start(lambda _stage: None)
    assert "broken: stopped" in engine.report().detail
    assert engine.report().state is EngineState.READY
    async with asyncio.timeout(HANG_S):
        while halves[late].report().state is not EngineState.READY:  # noqa: ASYNC110 - a state, not an event
            await asyncio.sleep(0)
    assert tries == [AGAIN_S] * 3
    assert [event.name for event in told] == ["engine.not-up"]
    await engine.stop()


@pytest.mark.parametrize(
    ("errors", "expected"),
    [((wrong(), wrong()), EngineSetupError), ((wrong(), down()), EngineDownError)],
)
async def test_if_neither_comes_up_it_is_down_for_now_or_for_good(
    errors: tuple[EngineSetupError, EngineDownError], expected: type[Exception]
) -> None:
    engine = MixedEngine(*(Broken(error) for error in errors))
    with pytest.raises(expected):
        await engine.start(lambda _stage: None)
    assert engine.report() == EngineReport(
        state=EngineState.STOPPED, detail="broken: stopped; broken: stopped"
    )
