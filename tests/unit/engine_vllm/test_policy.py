"""What becomes of a page whose text is cut off, goes in circles, or is empty."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

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


@pytest.mark.parametrize(
    ("first", "mode", "note"),
    [
        (CUT, "document", "ngram 20/50"),
        (LOOP, "document", "ngram 20/50"),
        (EMPTY, "document", "resolution base"),
        (PICTURE, "document", "mode ocr"),
        (EMPTY, "locate", "resolution base"),
    ],
)
async def test_the_first_further_try(first: PageResult, mode: str, note: str) -> None:
    engine = ScriptedEngine(first, said("All of it."))
    result = await read_page(engine, page(mode=mode))
    assert (result.text, result.partial) == ("All of it.", None)
    assert result.notes == (f"retried: {note}",)
    again = engine.requests[1]
    assert (again.resolution.name == "base") == ("base" in note)
    stronger = Guard(ngram=20, window=50)
    assert (again.mode.guard == stronger) == ("resolution" not in note)


async def test_then_at_another_resolution_then_with_the_plain_prompt() -> None:
    engine = ScriptedEngine(LOOP, LOOP, CUT, said("Plain words."))
    result = await read_page(engine, page())
    assert result.text == "Plain words."
    assert result.notes == (
        "retried: ngram 20/50: went in circles",
        "retried: resolution base: cut off at the token limit",
        "retried: mode ocr",
    )
    views = [asked.resolution.name for asked in engine.requests]
    assert views == ["gundam", "gundam", "base", "gundam"]
    assert engine.requests[3].mode.prompt == BUILT_IN_MODES["ocr"].prompt
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


@pytest.mark.parametrize(
    ("named", "room", "then"),
    [
        ("small", RESOLUTIONS, "base"),
        ("tiny", RESOLUTIONS, "base"),
        ("base", RESOLUTIONS, "gundam"),
        ("large", RESOLUTIONS, "gundam"),
        ("base", {"base", "small"}, "small"),
        ("large", {"large", "base"}, "base"),
        ("small", {"small", "tiny"}, "tiny"),
        ("tiny", {"tiny"}, "tiny"),  # none other: the plain prompt is the next try
    ],
)
async def test_the_other_resolution_is_another_one_that_the_engine_has_room_for(
    named: str, room: Collection[str], then: str
) -> None:
    engine = ScriptedEngine(EMPTY, said("Words."), room=room)
    result = await read_page(engine, replace(page(), resolution=RESOLUTIONS[named]))
    assert engine.requests[1].resolution.name == then
    assert (result.notes == ("retried: mode ocr",)) == (named == then)


@pytest.mark.parametrize("mode", ["describe", "figure", "locate", "ocr"])
async def test_the_plain_prompt_does_not_stand_in_for_modes_that_ask_something_else(
    mode: str,
) -> None:
    engine = ScriptedEngine(EMPTY, EMPTY)
    result = await read_page(engine, page(mode=mode))
    assert result.partial == "came back empty"
    assert len(engine.requests) == 2


@pytest.mark.parametrize("invented", [EMPTY, LOOP])
async def test_a_blank_page_is_not_tried_again_and_has_no_words(invented: PageResult) -> None:
    result = await read_page(ScriptedEngine(invented), replace(page(), image=WHITE))
    assert (result.text, result.notes, result.partial) == ("", ("blank",), None)


async def test_an_engine_without_a_language_model_is_asked_once() -> None:
    nothing = PageResult(text="", prompt_tokens=0)
    engine = ScriptedEngine(nothing)
    assert await read_page(engine, page()) == nothing
    assert len(engine.requests) == 1


async def test_a_picture_on_which_no_try_finds_a_word_is_a_picture_and_whole() -> None:
    result = await read_page(ScriptedEngine(PICTURE, EMPTY), page())
    assert (result.text, result.partial) == (PICTURE.text, None)


async def test_a_further_try_that_faults_is_noted_and_the_next_is_made() -> None:
    fault = PageFaultError("too slow", hint="wait", kind="timed-out")
    result = await read_page(ScriptedEngine(CUT, fault, said("Whole.")), page())
    assert result.notes == ("retried: ngram 20/50: timed-out", "retried: resolution base")


@pytest.mark.parametrize(
    "answers", [[PageError("no", hint="-")], [CUT, EngineDownError("down", hint="wait")]]
)
async def test_a_first_try_that_faults_or_an_engine_that_is_down_is_the_callers_business(
    answers: list[Any],
) -> None:
    with pytest.raises(type(answers[-1])):
        await read_page(ScriptedEngine(*answers), page())
