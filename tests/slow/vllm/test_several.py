"""Several engines in one daemon: work is spread, a death is made good, and none is left behind."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bench.common import family
from ocrd.engine.base import EngineState
from ocrd.errors import EngineDownError, PageError
from ocrd.page import PageResult
from tests.slow.vllm.engines import HANG_S, Resident, little, short, until
from tests.slow.vllm.faulty import MARK
from tests.unit.children.support import is_running

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(2 * HANG_S),
    pytest.mark.asyncio(loop_scope="session"),
]


def descendants() -> list[int]:
    """Processes below this one, but for Python's own helpers, which stay for later tests."""
    helpers, found = (b"resource_tracker", b"forkserver"), []
    for pid in family(os.getpid())[1:]:
        with suppress(OSError):  # it has ended meanwhile
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if is_running(pid) and not any(name in command for name in helpers):
                found.append(pid)
    return found


async def test_pages_go_to_the_engine_with_the_fewest(resident: Resident) -> None:
    await resident.all_ready()
    units = resident.engine.supervisors
    with resident.held():
        reading = [
            asyncio.create_task(resident.engine.recognise(little(f"p{n}", seed=n)))
            for n in range(6)
        ]
        await until(lambda: sum(unit.calls for unit in units) == 6)
        assert [unit.calls for unit in units] == [3, 3]
    results = await asyncio.gather(*reading)
    assert len({result.prompt_tokens for result in results}) == 1


async def test_a_page_that_kills_engines_is_found_while_the_other_engine_serves(
    resident: Resident,
) -> None:
    """An engine that is killed from outside: test_daemon.py."""
    await resident.all_ready()
    before = resident.pids()
    deadly = replace(little("deadly", seed=66), mode=short("locate"), target=MARK)
    pages = [deadly, *(little(f"n{number}", seed=number) for number in range(5))]
    reading = [asyncio.create_task(resident.engine.recognise(one)) for one in pages]
    one_of_two = {EngineState.RESTARTING, EngineState.READY}
    await until(lambda: {unit.state for unit in resident.engine.supervisors} == one_of_two)
    assert resident.engine.report().state is EngineState.READY, "the other one serves"
    assert (await resident.engine.recognise(little("meanwhile"))).output_tokens == 6
    error, *neighbours = await asyncio.gather(*reading, return_exceptions=True)
    assert isinstance(error, PageError)
    assert error.kind == "kills-engine"
    assert [type(result) for result in neighbours] == [PageResult] * 5
    assert resident.names().count("engine.died") == 2
    assert resident.names().count("engine.page-kills") == 1
    with pytest.raises(PageError) as refused:
        await resident.engine.recognise(replace(deadly, id="again"))
    assert refused.value.kind == "kills-engine"
    await resident.all_ready()
    assert len(set(resident.pids()) & set(before)) == 1, "one is new, and one was spared"


async def test_stopping_with_pages_in_flight_leaves_no_process_behind(resident: Resident) -> None:
    await resident.all_ready()
    assert len(descendants()) >= 2
    reading = [
        asyncio.create_task(resident.engine.recognise(little(f"s{n}", max_tokens=900)))
        for n in range(4)
    ]
    await until(lambda: resident.unfinished() == 4)
    await resident.engine.stop()
    results = await asyncio.gather(*reading, return_exceptions=True)
    assert [type(result) for result in results] == [EngineDownError] * 4
    assert resident.engine.report().state is EngineState.STOPPED
    await until(lambda: not descendants())
    with pytest.raises(EngineDownError):
        await resident.engine.recognise(little("late"))
