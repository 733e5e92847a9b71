"""Blocking calls end with what they return or raise, and a caller never before its call.

A place that hangs takes its own threads, and nobody else's time.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from ocrd.worker.calls import Calls
from tests.support.waiting import HANG_S

PLACE = "a share"


@pytest.fixture
def calls() -> Calls:
    return Calls(2)


class Held:
    """A call that ends when it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.ended = False

    def __call__(self) -> str:
        self.begun.set()
        self.let_go.wait(HANG_S)
        self.ended = True
        return "held"

    async def until_begun(self) -> None:
        await asyncio.to_thread(self.begun.wait, HANG_S)


async def test_each_of_many_calls_gets_its_own_answer_or_error(calls: Calls) -> None:
    answers = await asyncio.gather(
        *(calls(PLACE, divmod, 7, number) for number in range(500)), return_exceptions=True
    )
    assert isinstance(answers[0], ZeroDivisionError)
    assert answers[1:] == [divmod(7, number) for number in range(1, 500)]
    assert await calls(PLACE, int, "ff", base=16) == 255


async def test_a_cancelled_caller_waits_for_a_call_that_has_begun(calls: Calls) -> None:
    held = Held()
    caller = asyncio.create_task(calls(PLACE, held))
    await held.until_begun()
    caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()
    held.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert held.ended


async def test_a_call_whose_caller_is_cancelled_before_its_turn_is_not_made(
    calls: Calls,
) -> None:
    busy, late = [Held(), Held()], Held()
    callers = [asyncio.create_task(calls(PLACE, each)) for each in busy]
    for each in busy:
        await each.until_begun()
    waiting = asyncio.create_task(calls(PLACE, late))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    for each in busy:
        each.let_go.set()
    assert await asyncio.gather(*callers) == ["held", "held"]
    assert not late.begun.is_set()


async def test_a_caller_that_is_cancelled_as_its_call_ends_ends_too(calls: Calls) -> None:
    held = Held()
    caller = asyncio.create_task(calls(PLACE, held))
    await held.until_begun()
    held.let_go.set()
    while not caller.done():
        caller.cancel()  # at every step of its end, the last included
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await caller


def test_a_second_loop_is_served_as_the_first_was(calls: Calls) -> None:
    held = Held()

    async def leave() -> None:
        caller = asyncio.create_task(calls(PLACE, held))
        await held.until_begun()
        caller.cancel()
        await asyncio.sleep(0)
        caller.cancel()  # twice: it no longer waits

    async def stay() -> int:
        return await calls(PLACE, abs, -2)

    asyncio.run(leave())
    held.let_go.set()
    assert asyncio.run(stay()) == 2


async def test_a_place_that_hangs_leaves_the_others_their_threads(calls: Calls) -> None:
    """However many callers it has; and what hangs is told of."""
    held = Held()
    hung = [asyncio.create_task(calls("a dead share", held)) for _ in range(60)]
    await held.until_begun()
    assert await calls("a disk", abs, -1) == 1
    while calls.hanging(0.0)[0].calls < 2:  # noqa: ASYNC110 - a thread counts
        await asyncio.sleep(0.01)
    (told,) = calls.hanging(0.0)
    assert (told.place, told.calls) == ("a dead share", 2)
    assert told.message.startswith("2 calls to a dead share have not answered for ")
    held.let_go.set()
    assert await asyncio.gather(*hung) == ["held"] * 60
    assert calls.hanging(0.0) == []


async def test_who_waits_for_a_call_that_hangs_can_be_let_go(calls: Calls) -> None:
    held = Held()
    hung = asyncio.create_task(calls(PLACE, held))
    await held.until_begun()
    hung.cancel()
    await asyncio.sleep(0)
    calls.abandon()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(hung, HANG_S)
    assert not held.ended
    held.let_go.set()


def test_a_call_that_never_answers_does_not_keep_the_process() -> None:
    """Its thread is left behind: the interpreter ends."""
    program = """
import asyncio, threading
from ocrd.worker.calls import Calls
async def main():
    calls = Calls()
    hung = asyncio.create_task(calls("a share", threading.Event().wait))
    while not calls.hanging(0.0):
        await asyncio.sleep(0.01)
    calls.abandon()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=HANG_S, check=False)
    assert done.returncode == 0
