"""The resident engine with the real vLLM: pages in, words out, and what may go wrong with one."""

from __future__ import annotations

import asyncio
import gc
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocrd.engine.base import EngineState, PageRequest
from ocrd.engine.models import DEEPSEEK_OCR
from ocrd.engine.resident import VllmEngine
from ocrd.engine.resident.client import VllmClient
from ocrd.engine.resident.trial import warm_up
from ocrd.errors import EngineSetupError, PageError, PageFaultError
from ocrd.modes import RESOLUTIONS, Guard
from ocrd.page import Finish
from tests.slow.vllm.engines import (
    CONTEXT,
    HANG_S,
    LITTLE,
    Resident,
    little,
    settings,
    short,
    until,
)

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(2 * HANG_S),
    pytest.mark.asyncio(loop_scope="session"),
]

BOS = 1
WORDS = len("\nFree OCR.")  # a token for each byte


async def test_loading_is_told_stage_by_stage(resident: Resident) -> None:
    report = resident.engine.report()
    assert report.state is EngineState.READY
    assert report.devices == ("cpu:0", "cpu:1")
    first = [stage for stage in resident.stages if not stage.startswith("cpu:1")]
    assert first[0] == "looking at model and devices"
    assert first[1].startswith("importing vLLM 0.")
    for stage in ("the engine process is up", "loading the weights", "making room for pages"):
        assert f"cpu:0: {stage}" in first
    assert first[-1] == "cpu:0: trying it out"
    assert resident.engine.profile is not None
    assert resident.engine.profile.name == "DeepSeek-OCR"


async def test_full_pages_warm_it_up_and_leave_nothing_behind(
    resident: Resident, checkpoint: Path
) -> None:
    few = settings(checkpoint).changed(resolutions=(LITTLE,), max_pages_in_flight=2)
    await warm_up(resident.cores()[0], DEEPSEEK_OCR, few)
    assert resident.unfinished() == 0


async def test_pages_and_garbage_let_the_event_loop_take_its_turns(resident: Resident) -> None:
    assert resident.engine.report().state is EngineState.READY
    assert sys.getswitchinterval() <= 0.001, "of threads that prepare images"
    assert gc.get_freeze_count() > 200_000, "what vLLM's import leaves is not searched"


async def test_a_letter_overtakes_the_pages_of_a_book_that_wait_in_vllm(
    resident: Resident,
) -> None:
    core, ended = resident.cores()[0], list[str]()

    async def read(request: PageRequest) -> None:
        await core.read(request)
        ended.append(request.id)

    with resident.held():  # 8 of them generate at once
        book = [replace(little(f"page {number}"), others=number) for number in range(20)]
        reading = [asyncio.create_task(read(request)) for request in [*book, little("letter")]]
        await until(lambda: resident.unfinished() == len(reading))
    await asyncio.gather(*reading)
    # At the latest with the second eight: the first may have begun before the engine, which reads
    # what came meanwhile one by one, had heard of the letter.  Without its priority it is the last.
    assert ended.index("letter") < 16


@pytest.mark.parametrize(
    ("prompt", "kind"), [("<image>Read.", "mode"), ("word " * 300, "too-large")]
)
async def test_a_page_that_cannot_be_served_fails_alone(
    resident: Resident, prompt: str, kind: str
) -> None:
    mode = replace(short("ocr"), name="own", prompt=prompt)
    with pytest.raises(PageError) as error:
        await resident.engine.recognise(replace(little("own"), mode=mode))
    assert error.value.kind == kind
    assert (await resident.engine.recognise(little("next"))).output_tokens == 6


async def test_a_text_that_is_cut_off_in_circles_is_called_so(resident: Resident) -> None:
    unguarded = replace(short("ocr", 200), guard=None)
    result = await resident.engine.recognise(replace(little("loop"), mode=unguarded))
    guarded = replace(short("ocr", 60), guard=Guard(ngram=3, window=60))
    other = await resident.engine.recognise(replace(little("no loop"), mode=guarded))
    # Random weights go in circles at once, unless they are kept from it.
    assert result.finish is Finish.REPETITION
    assert result.output_tokens == 200
    assert other.finish is Finish.LENGTH


async def test_an_answer_is_clipped_to_what_the_context_leaves(resident: Resident) -> None:
    wordy = replace(short("ocr", 8192), prompt="word " * 195)
    result = await resident.engine.recognise(replace(little("long"), mode=wordy))
    assert result.prompt_tokens + result.output_tokens == CONTEXT


async def test_a_page_that_asks_for_more_than_there_is_room_for_is_seen_with_less(
    resident: Resident,
) -> None:
    gundam = RESOLUTIONS["gundam"]
    result = await resident.engine.recognise(replace(little("g"), resolution=gundam))
    assert result.prompt_tokens == BOS + 73 + WORDS
    assert result.notes == ("seen at 512",)
    assert "restart ocrd" in (resident.engine.unsupported_resolution(gundam) or "")
    assert resident.engine.unsupported_resolution(RESOLUTIONS["tiny"]) is None


async def test_a_page_given_up_by_its_caller_is_given_up_by_vllm(resident: Resident) -> None:
    reading = asyncio.create_task(resident.engine.recognise(little("off", max_tokens=900)))
    await until(lambda: resident.unfinished() == 1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert resident.unfinished() == 0


async def test_a_page_out_of_time_is_given_up_by_vllm(resident: Resident) -> None:
    core = resident.cores()[0]
    hasty = VllmClient(
        core._launched,
        core._vllm,
        core._profile,
        core._settings.changed(page_timeout_s=1.5),
    )
    with resident.held(), pytest.raises(PageFaultError) as fault:
        await hasty.read(little("slow", max_tokens=900))
    assert fault.value.kind == "timed-out"
    assert resident.unfinished() == 0
    assert await core.responds()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"options": {"enforce_eagre": True}}, "enforce_eager"),  # before anything is loaded
        ({"dtype": "float13", "devices": [0]}, "float13"),  # in vLLM's own words
    ],
)
async def test_what_vllm_would_refuse_is_told(
    checkpoint: Path, given: dict[str, Any], told: str
) -> None:
    engine = VllmEngine(settings(checkpoint).changed(**given))
    with pytest.raises(EngineSetupError) as error:
        await engine.start(lambda stage: None)
    assert told in error.value.message + error.value.hint
    assert engine.report().state is EngineState.FAILED
