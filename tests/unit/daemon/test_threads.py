"""Blocking calls end with what they return or raise, and a caller never before its call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from ocrd.daemon.threads import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(2)
    yield made
    made.stop()


class Held:
    """A call that ends when it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.ended = False

    def __call__(self) -> str:
        self.begun.set()
        self.let_go.wait(10)
        self.ended = True
        return "held"

    async def until_begun(self) -> None:
        await asyncio.to_thread(self.begun.wait, 10)


async def test_a_call_gives_what_it_returns(threads: Threads) -> None:
    assert await threads(divmod, 7, 2) == (3, 1)
    assert await threads(int, "ff", base=16) == 255


async def test_a_call_raises_what_it_raises(threads: Threads) -> None:
    with pytest.raises(ZeroDivisionError):
        await threads(divmod, 7, 0)


async def test_each_of_many_calls_gets_its_own_answer(threads: Threads) -> None:
    answers = await asyncio.gather(*(threads(abs, -number) for number in range(500)))
    assert answers == list(range(500))


async def test_a_cancelled_caller_waits_for_a_call_that_has_begun(threads: Threads) -> None:
    held = Held()
    caller = asyncio.create_task(threads(held))
    await held.until_begun()
    caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()
    held.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert held.ended


async def test_a_call_whose_caller_is_cancelled_before_its_turn_is_not_made(
    threads: Threads,
) -> None:
    busy, late = [Held(), Held()], Held()
    callers = [asyncio.create_task(threads(each)) for each in busy]
    for each in busy:
        await each.until_begun()
    waiting = asyncio.create_task(threads(late))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    for each in busy:
        each.let_go.set()
    assert await asyncio.gather(*callers) == ["held", "held"]
    assert not late.begun.is_set()


async def test_a_caller_that_is_cancelled_once_its_call_is_over_ends_too() -> None:
    """The loop has yet to hear of the call's end when the caller is cancelled."""
    one = Threads(1)
    held = Held()
    caller = asyncio.create_task(one(held))
    await held.until_begun()
    held.let_go.set()
    one.stop()  # the thread has said all that it will
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, 10)


async def test_a_caller_that_is_cancelled_as_its_call_ends_ends_too(threads: Threads) -> None:
    held = Held()
    caller = asyncio.create_task(threads(held))
    await held.until_begun()
    held.let_go.set()
    while not caller.done():
        caller.cancel()  # at every step of its end, the last included
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await caller


def test_a_second_loop_is_served_as_the_first_was(threads: Threads) -> None:
    held = Held()

    async def leave() -> None:
        caller = asyncio.create_task(threads(held))
        await held.until_begun()
        caller.cancel()
        await asyncio.sleep(0)
        caller.cancel()  # twice: it no longer waits

    async def stay() -> int:
        return await threads(abs, -2)

    asyncio.run(leave())
    held.let_go.set()
    assert asyncio.run(stay()) == 2
