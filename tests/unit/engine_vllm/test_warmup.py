"""Full pages before the first page."""

import asyncio
from collections import Counter

import pytest

from ocrd.engine.base import PageRequest
from ocrd.engine.models import DEEPSEEK_OCR
from ocrd.engine.resident.client import EngineDiedError, VllmClient
from ocrd.engine.resident.settings import VllmSettings
from ocrd.engine.resident.trial import bars, warm_up
from ocrd.errors import EngineSetupError, PageFaultError
from ocrd.modes import RESOLUTIONS
from ocrd.page import Finish, PageResult

GUNDAM_TOKENS = 903  # of a letter page, by the formula of the published code


class Taking(VllmClient):
    """Takes pages, and remembers which it held together."""

    def __init__(self, fault: Exception | None = None, fault_at: int = 0) -> None:
        self.waves: list[list[PageRequest]] = []
        self._fault = fault
        self._fault_at = fault_at
        self._here: list[PageRequest] = []

    async def try_out(self, request: PageRequest) -> PageResult:
        if not self._here:
            self.waves.append(self._here)
        self._here.append(request)
        await asyncio.sleep(0.001)
        self._here = []
        if self._fault and len(self.waves[-1]) >= self._fault_at:
            raise self._fault
        return PageResult(text="", finish=Finish.STOP, prompt_tokens=1, output_tokens=8)


def settings(**given: object) -> VllmSettings:
    return VllmSettings(model="/srv/model", **given)  # type: ignore[arg-type] # as each test says


async def warmed(**given: object) -> list[list[str]]:
    core = Taking()
    await warm_up(core, DEEPSEEK_OCR, settings(**given))
    names = [request.id for wave in core.waves for request in wave]
    assert len(names) == len(set(names)), "vLLM refuses two requests of one name"
    return [[request.resolution.name for request in wave] for wave in core.waves]


async def test_each_resolution_comes_once_and_then_the_costliest_until_a_step_is_full() -> None:
    offered = (RESOLUTIONS["tiny"], RESOLUTIONS["gundam"], RESOLUTIONS["large"])
    waves = await warmed(resolutions=offered, max_num_batched_tokens=10 * GUNDAM_TOKENS)
    assert waves[:3] == [["tiny"], ["gundam"], ["large"]]
    assert [Counter(wave) for wave in waves[3:]] == [{"gundam": n} for n in (2, 4, 8, 16)]


async def test_no_more_pages_come_at_once_than_may_be_in_flight() -> None:
    waves = await warmed(resolutions=(RESOLUTIONS["gundam"],), max_pages_in_flight=3)
    assert [len(wave) for wave in waves] == [1, 2, 3]
    assert [len(wave) for wave in await warmed(max_num_seqs=1)][-1] == 1


async def test_a_fault_ends_the_start_and_names_a_remedy() -> None:
    fault = PageFaultError("It took 300 s.", hint="Raise engine.page_timeout_s.", kind="timed-out")
    core = Taking(fault, fault_at=4)
    with pytest.raises(EngineSetupError) as raised:
        await warm_up(core, DEEPSEEK_OCR, settings(resolutions=(RESOLUTIONS["gundam"],)))
    assert raised.value.message.endswith("fails on 4 full pages at once: It took 300 s.")
    assert raised.value.hint.startswith("Raise engine.page_timeout_s.")
    assert raised.value.kind == "warm-up"


async def test_an_engine_that_dies_of_it_is_told_as_it_is_for_the_memory_ladder_to_see() -> None:
    core = Taking(EngineDiedError(), fault_at=2)
    with pytest.raises(EngineDiedError):
        await warm_up(core, DEEPSEEK_OCR, settings(resolutions=(RESOLUTIONS["gundam"],)))


def test_the_page_is_full_and_not_blank() -> None:
    page = bars(300, 200)
    assert len(page.rgb) == 3 * 300 * 200
    assert len(set(page.rgb)) == 2
