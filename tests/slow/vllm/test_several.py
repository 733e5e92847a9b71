"""Several engines in one daemon: work is spread, a death is made good, and none is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from ocrd.engine.base import EngineState
from ocrd.errors import EngineDownError
from tests.slow.vllm.engines import HANG_S, Resident, little, until

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


async def test_an_engine_killed_while_it_reads_is_replaced_and_no_page_is_lost(
    resident: Resident,
) -> None:
    await resident.all_ready()
    victim, survivor = resident.pids()
    assert victim is not None
    with resident.held():
        reading = [
            asyncio.create_task(resident.engine.recognise(little(f"k{n}", seed=n, max_tokens=30)))
            for n in range(6)
        ]
        await until(lambda: resident.unfinished() == 6)
        os.kill(victim, signal.SIGKILL)
    await until(lambda: resident.engine.supervisors[0].state is EngineState.RESTARTING)
    assert resident.engine.report().state is EngineState.READY, "the other one serves"
    assert (await resident.engine.recognise(little("meanwhile"))).output_tokens == 6
    results = await asyncio.gather(*reading)
    assert [result.output_tokens for result in results] == [30] * 6
    await resident.all_ready()
    assert resident.pids()[1] == survivor
    assert resident.pids()[0] not in {victim, survivor, None}


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
