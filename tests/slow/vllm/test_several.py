"""Several engines in one daemon: work is spread, a death is made good, and none is left behind."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.engine.base import EngineState
from ocrd.errors import EngineDownError, PageError
from ocrd.page import PageResult
from tests.slow.vllm.engines import HANG_S, Resident, little, short, until
from tests.slow.vllm.faulty import MARK

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(2 * HANG_S),
    pytest.mark.asyncio(loop_scope="session"),
]


def descendants() -> set[int]:
    """Processes below this one, but for Python's own helpers, which stay for later tests."""
    parents, helpers = {}, (b"resource_tracker", b"forkserver")
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if fields[0] != "Z" and not any(name in command for name in helpers):
            parents[int(status.parent.name)] = int(fields[1])
    found: set[int] = set()
    while more := {p for p, q in parents.items() if q in found | {os.getpid()}} - found:
        found |= more
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
