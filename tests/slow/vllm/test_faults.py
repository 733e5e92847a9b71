"""A page that kills every engine it meets: the real vLLM, real processes that really die."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ocrd.engine.base import EngineState
from ocrd.errors import PageError
from ocrd.page import PageResult
from tests.slow.vllm.deadly import MARK
from tests.slow.vllm.engines import HANG_S, Resident, little, short

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(2 * HANG_S),
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_a_page_that_kills_the_engine_is_found_and_its_neighbours_go_on(
    resident: Resident,
) -> None:
    deadly = replace(little("deadly", seed=66), mode=short("locate"), target=MARK)
    pages = [deadly, *(little(f"n{number}", seed=number) for number in range(5))]
    results = await asyncio.gather(
        *(resident.engine.recognise(one) for one in pages), return_exceptions=True
    )
    error, *neighbours = results
    assert isinstance(error, PageError)
    assert error.kind == "kills-engine"
    assert [type(result) for result in neighbours] == [PageResult] * 5
    assert resident.names().count("engine.died") == 2
    assert resident.names().count("engine.page-kills") == 1
    again = replace(deadly, id="again")
    with pytest.raises(PageError) as refused:
        await resident.engine.recognise(again)
    assert refused.value.kind == "kills-engine"
    assert resident.engine.report().state is EngineState.READY
