"""What becomes of a page whose text is cut off, goes in circles, or is empty."""

from dataclasses import replace

import pytest

from ocrd.engine.deepseek.grounding import parse
from ocrd.engine.policy import read_page
from ocrd.errors import EngineDownError, PageError, PageFaultError
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, AnswerFormat, Guard
from ocrd.page import Finish, PageImage, PageResult
from tests.unit.engine_vllm.fakes import ScriptedEngine, page

WHITE = PageImage(64, 64, b"\xff" * (64 * 64 * 3))


def said(text: str, finish: Finish = Finish.STOP) -> PageResult:
    blocks = tuple(parse(text, AnswerFormat.DOCUMENT))
    return PageResult(
        text=text, blocks=blocks, finish=finish, prompt_tokens=900, output_tokens=len(text)
    )


CUT = said("A text that stops in the mid", Finish.LENGTH)
LOOP = said("Again. " * 60, Finish.REPETITION)
EMPTY = said(" \n")
PICTURE = said("<|ref|>image<|/ref|><|det|>[[0, 0, 999, 999]]<|/det|>\n")


async def test_a_whole_text_is_taken_as_it_is() -> None:
    engine = ScriptedEngine(said("All of it."))
    assert await read_page(engine, page()) == said("All of it.")
    assert len(engine.requests) == 1


@pytest.mark.parametrize("bad", [CUT, LOOP])
async def test_a_text_cut_off_or_going_in_circles_is_read_with_a_stronger_guard(
    bad: PageResult,
) -> None:
    engine = ScriptedEngine(bad, said("All of it."))
    result = await read_page(engine, page())
    assert (result.text, result.partial) == ("All of it.", None)
    assert result.notes == ("retried: ngram 20/50",)
    assert engine.requests[1].mode.guard == Guard(ngram=20, window=50)
    assert engine.requests[1].resolution == RESOLUTIONS["gundam"]


async def test_then_at_another_resolution_then_with_the_plain_prompt() -> None:
    engine = ScriptedEngine(LOOP, LOOP, CUT, said("Plain words."))
    result = await read_page(engine, page())
    assert result.text == "Plain words."
    assert result.notes == (
        "retried: ngram 20/50: went in circles",
        "retried: resolution base: cut off at the token limit",
        "retried: mode ocr",
    )
    assert [asked.resolution.name for asked in engine.requests] == [
        "gundam",
        "gundam",
        "base",
        "gundam",
    ]
    assert engine.requests[3].mode.prompt == BUILT_IN_MODES["ocr"].prompt


async def test_each_try_is_a_request_of_its_own() -> None:
    engine = ScriptedEngine(LOOP, LOOP, LOOP, LOOP)
    await read_page(engine, page("7-1"))
    assert len({asked.id for asked in engine.requests}) == 4


async def test_what_is_still_bad_is_kept_and_labelled() -> None:
    engine = ScriptedEngine(EMPTY, LOOP, CUT)
    result = await read_page(engine, page())
    assert (result.text, result.partial) == (CUT.text, "cut off at the token limit")
    assert result.notes == (
        "retried: resolution base: went in circles",
        "retried: mode ocr: cut off at the token limit",
    )


async def test_among_equals_the_text_with_most_to_say_is_kept() -> None:
    short = said("Two words. " + "Again. " * 200, Finish.REPETITION)
    long = said("Many more words than the other has. " + "Again. " * 60, Finish.REPETITION)
    result = await read_page(ScriptedEngine(short, long, short, short), page())
    assert result.text == long.text


async def test_an_empty_page_is_not_read_with_a_stronger_guard() -> None:
    engine = ScriptedEngine(EMPTY, said("Words."))
    result = await read_page(engine, page())
    assert result.notes == ("retried: resolution base",)


@pytest.mark.parametrize(
    ("named", "then"),
    [("small", "base"), ("tiny", "base"), ("base", "gundam"), ("large", "gundam")],
)
async def test_the_other_resolution_is_another_one(named: str, then: str) -> None:
    engine = ScriptedEngine(EMPTY, said("Words."))
    await read_page(engine, replace(page(), resolution=RESOLUTIONS[named]))
    assert engine.requests[1].resolution.name == then


@pytest.mark.parametrize(
    ("named", "room", "then"),
    [
        ("base", {"base", "small"}, "small"),
        ("large", {"large", "base"}, "base"),
        ("small", {"small", "tiny"}, "tiny"),
    ],
)
async def test_the_other_resolution_is_one_that_the_engine_has_room_for(
    named: str, room: set[str], then: str
) -> None:
    engine = ScriptedEngine(EMPTY, said("Words."), room=room)
    await read_page(engine, replace(page(), resolution=RESOLUTIONS[named]))
    assert engine.requests[1].resolution.name == then


async def test_without_room_for_another_resolution_there_is_no_such_try() -> None:
    engine = ScriptedEngine(EMPTY, said("Words."), room={"tiny"})
    result = await read_page(engine, replace(page(), resolution=RESOLUTIONS["tiny"]))
    assert result.notes == ("retried: mode ocr",)


@pytest.mark.parametrize("mode", ["describe", "figure", "locate", "ocr"])
async def test_the_plain_prompt_does_not_stand_in_for_modes_that_ask_something_else(
    mode: str,
) -> None:
    engine = ScriptedEngine(EMPTY, EMPTY)
    result = await read_page(engine, page(mode=mode))
    assert result.partial == "came back empty"
    assert len(engine.requests) == 2


async def test_a_blank_page_is_not_tried_again() -> None:
    engine = ScriptedEngine(EMPTY)
    result = await read_page(engine, replace(page(), image=WHITE))
    assert (result.text, result.notes, result.partial) == ("", ("blank",), None)


async def test_what_a_model_invents_in_circles_on_a_blank_page_is_dropped() -> None:
    result = await read_page(ScriptedEngine(LOOP), replace(page(), image=WHITE))
    assert (result.text, result.notes, result.partial) == ("", ("blank",), None)


async def test_an_engine_without_a_language_model_is_asked_once() -> None:
    nothing = PageResult(text="", prompt_tokens=0)
    engine = ScriptedEngine(nothing)
    assert await read_page(engine, page()) == nothing
    assert len(engine.requests) == 1


async def test_a_page_that_came_back_as_one_picture_is_read_with_the_plain_prompt() -> None:
    engine = ScriptedEngine(PICTURE, said("The sign says: open."))
    result = await read_page(engine, page())
    assert (result.text, result.partial) == ("The sign says: open.", None)
    assert result.notes == ("retried: mode ocr",)


async def test_a_picture_on_which_no_try_finds_a_word_is_a_picture_and_whole() -> None:
    result = await read_page(ScriptedEngine(PICTURE, EMPTY), page())
    assert (result.text, result.partial) == (PICTURE.text, None)


async def test_a_further_try_that_faults_is_noted_and_the_next_is_made() -> None:
    fault = PageFaultError("too slow", hint="wait", kind="timed-out")
    result = await read_page(ScriptedEngine(CUT, fault, said("Whole.")), page())
    assert result.notes == ("retried: ngram 20/50: timed-out", "retried: resolution base")


async def test_a_first_try_that_faults_is_the_callers_business() -> None:
    with pytest.raises(PageError):
        await read_page(ScriptedEngine(PageError("no", hint="-")), page())


async def test_a_page_waits_for_the_engine_also_in_a_further_try() -> None:
    with pytest.raises(EngineDownError):
        await read_page(ScriptedEngine(CUT, EngineDownError("down", hint="wait")), page())
