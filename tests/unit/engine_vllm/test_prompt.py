"""From a page request to what vLLM takes."""

from dataclasses import replace
from typing import Any

import pytest

from ocrd.engine.models import DEEPSEEK_OCR, DEEPSEEK_OCR_2
from ocrd.engine.resident.pages import check_tokens, pixels, prompt
from ocrd.engine.resident.settings import VllmSettings, sampling, view, vllm_priority
from ocrd.errors import PageError
from ocrd.modes import BUILT_IN_MODES, RESOLUTIONS, Resolution
from ocrd.page import PageImage
from tests.unit.engine_vllm.fakes import page

SETTINGS = VllmSettings(model="m")


def test_pixels_arrive_as_they_are() -> None:
    page = pixels(PageImage(2, 1, bytes([255, 0, 0, 0, 0, 255])), DEEPSEEK_OCR)
    assert page.tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert page.flags.writeable  # or torch warns of it


def test_a_model_whose_processor_rounds_sides_gets_them_rounded() -> None:
    page = PageImage(100, 30, bytes(9000))
    assert pixels(page, replace(DEEPSEEK_OCR, side_multiple=28)).shape == (28, 112, 3)


def test_a_model_with_a_longest_side_gets_a_smaller_page() -> None:
    page = PageImage(200, 100, bytes([9, 8, 7]) * 20_000)
    smaller = pixels(page, replace(DEEPSEEK_OCR, longest_side=50))
    assert smaller.shape == (25, 50, 3)
    assert (smaller == [9, 8, 7]).all()
    assert pixels(page, replace(DEEPSEEK_OCR, longest_side=200)).shape == (100, 200, 3)


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("ocr", "<image>\nFree OCR."),
        ("document", "<image>\n<|grounding|>Convert the document to markdown."),
        ("layout", "<image>\n<|grounding|>OCR this image."),
        ("describe", "<image>\nDescribe this image in detail."),
        ("figure", "<image>\nParse the figure."),
        ("locate", "<image>\nLocate <|ref|>the {total}<|/ref|> in the image."),
    ],
)
def test_the_prompt_of_each_mode(mode: str, words: str) -> None:
    request = replace(page(mode=mode), target="the {total}")
    made = prompt(request, DEEPSEEK_OCR, RESOLUTIONS["gundam"])
    assert made["prompt"] == words
    assert made["mm_processor_kwargs"] == {"base_size": 1024, "image_size": 640, "max_crops": 6}


def test_a_resolution_that_the_model_cannot_see_at_fails_the_page() -> None:
    odd = Resolution(name="odd", base=1000)
    with pytest.raises(PageError) as error:
        view(SETTINGS, DEEPSEEK_OCR, odd)
    assert error.value.kind == "resolution"


def made(mode: str = "document", room: int = 7000, **settings: Any) -> dict[str, Any]:
    request = page(mode=mode)
    return sampling(
        request, DEEPSEEK_OCR, SETTINGS.changed(**settings), room=room, never_banned=[8, 9]
    )


def test_the_answer_may_be_as_long_as_the_context_leaves() -> None:
    assert made()["max_tokens"] == 7000
    assert made(room=8192)["max_tokens"] == 8192


def test_nothing_is_left_to_chance_and_tags_are_kept() -> None:
    assert made()["temperature"] == 0.0
    assert made()["skip_special_tokens"] is False


def test_the_guard_goes_with_the_request() -> None:
    assert made()["extra_args"] == {
        "ngram_size": 30,
        "window_size": 90,
        "whitelist_token_ids": [8, 9],
    }


def test_a_mode_without_guard_has_none() -> None:
    request = replace(page(), mode=replace(BUILT_IN_MODES["ocr"], guard=None))
    assert "extra_args" not in sampling(request, DEEPSEEK_OCR, SETTINGS, room=10)


def test_the_settings_win_within_what_fits() -> None:
    chosen = made(sampling={"max_tokens": 800, "min_tokens": 800, "ignore_eos": True})
    assert (chosen["max_tokens"], chosen["min_tokens"], chosen["ignore_eos"]) == (800, 800, True)
    chosen = made(room=100, sampling={"max_tokens": 800, "min_tokens": 800})
    assert (chosen["max_tokens"], chosen["min_tokens"]) == (100, 100)


def test_text_is_made_by_vllm_only_where_stop_strings_need_it() -> None:
    assert made()["detokenize"] is False
    assert made(sampling={"stop": ["END"]})["detokenize"] is True


@pytest.mark.parametrize(("got", "expected"), [(0, 273), (272, 273), (0, None)])
def test_an_image_that_is_not_whole_in_the_prompt_fails_the_page(
    got: int, expected: int | None
) -> None:
    with pytest.raises(PageError) as error:
        check_tokens(got, expected, room=100)
    assert error.value.kind == "image-tokens"


def test_a_page_that_fills_the_context_fails() -> None:
    with pytest.raises(PageError) as error:
        check_tokens(273, 273, room=0)
    assert error.value.kind == "too-large"


def test_a_whole_image_passes() -> None:
    check_tokens(273, 273, room=1)
    check_tokens(5, None, room=1)


def test_the_second_model_sees_small_pages_at_768() -> None:
    seen = DEEPSEEK_OCR_2.seen(RESOLUTIONS["small"])
    made = prompt(page(), DEEPSEEK_OCR_2, seen)
    assert made["mm_processor_kwargs"] == {"base_size": 768, "image_size": 768, "max_crops": 0}


def test_pages_wait_in_vllm_by_priority_then_by_what_their_job_has_there() -> None:
    urgent, letter, book = (
        replace(page(), id=name, priority=priority, others=others)
        for name, priority, others in (("urgent", 1, 500), ("letter", 0, 0), ("book", 0, 63))
    )
    assert sorted([book, letter, urgent], key=vllm_priority) == [urgent, letter, book]
