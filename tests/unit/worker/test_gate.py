"""The engine is shared: priorities first, then whoever has least."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from ocrd.gate import PageGate


async def queue(
    gate: PageGate, order: list[int], job: int, priority: int = 0
) -> asyncio.Task[None]:
    """A page of `job` that waits for a slot, notes its turn and is done."""

    async def page() -> None:
        async with gate.slot(job, priority):
            order.append(job)
            await asyncio.sleep(0)

    task = asyncio.create_task(page())
    await asyncio.sleep(0)
    return task


async def test_no_more_pages_than_slots_are_in_flight() -> None:
    gate = PageGate(3)
    most = 0

    async def page(job: int) -> None:
        nonlocal most
        async with gate.slot(job):
            most = max(most, gate.in_flight)
            await asyncio.sleep(0)

    await asyncio.gather(*(page(number % 4) for number in range(40)))
    assert most == 3
    assert (gate.in_flight, gate.waiting) == (0, 0)


async def test_one_page_overtakes_the_many_that_a_book_has_waiting() -> None:
    gate, order = PageGate(1), list[int]()
    async with gate.slot(1):
        book = [await queue(gate, order, 1) for _ in range(5)]
        letter = await queue(gate, order, 2)
    await asyncio.gather(*book, letter)
    assert order[:2] in ([2, 1], [1, 2])
    assert order.index(2) <= 1


async def test_a_job_with_fewer_pages_in_flight_goes_first() -> None:
    gate, order = PageGate(3), list[int]()
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(gate.slot(1))
        async with gate.slot(2):
            waiting = [await queue(gate, order, 1), await queue(gate, order, 3)]
        await asyncio.gather(*waiting)
    assert order == [3, 1]


async def test_the_higher_priority_goes_first() -> None:
    gate, order = PageGate(1), list[int]()
    async with gate.slot(9):
        tasks = [await queue(gate, order, 1), await queue(gate, order, 2, priority=5)]
    await asyncio.gather(*tasks)
    assert order == [2, 1]


@pytest.mark.parametrize("while_waiting", [True, False])
async def test_a_cancelled_page_gives_its_slot_or_its_turn_back(while_waiting: bool) -> None:
    gate, order = PageGate(1), list[int]()
    if while_waiting:
        async with gate.slot(1):
            doomed = await queue(gate, order, 2)
            doomed.cancel()
            await asyncio.gather(doomed, return_exceptions=True)
    else:
        stuck = asyncio.create_task(_forever(gate))
        await asyncio.sleep(0)
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
    await (await queue(gate, order, 3))
    assert order == [3]
    assert (gate.in_flight, gate.waiting) == (0, 0)


async def test_a_slot_handed_to_a_page_that_is_cancelled_in_that_moment_is_not_lost() -> None:
    gate, order = PageGate(1), list[int]()
    async with gate.slot(1):
        doomed = await queue(gate, order, 2)
    doomed.cancel()  # its turn has come, but it has not run yet
    await asyncio.gather(doomed, return_exceptions=True)
    await (await queue(gate, order, 3))
    assert order == [3]


async def _forever(gate: PageGate) -> None:
    async with gate.slot(1):
        await asyncio.Event().wait()


async def test_a_slot_tells_how_many_the_job_had_before() -> None:
    gate = PageGate(4)
    async with gate.slot(1) as first, gate.slot(1) as second, gate.slot(2) as other:
        assert (first, second, other) == (0, 1, 0)
    async with gate.slot(1) as again:
        assert again == 0
