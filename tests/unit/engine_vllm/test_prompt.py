"""From a page request to what vLLM takes."""

from contextlib import nullcontext
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


@pytest.mark.parametrize(
    ("limits", "shape"),
    [
        ({"side_multiple": 28}, (112, 196, 3)),
        ({"longest_side": 50}, (25, 50, 3)),
        ({"longest_side": 200}, (100, 200, 3)),
    ],
)
def test_a_model_with_limits_gets_a_page_of_that_size(
    limits: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    page = pixels(PageImage(200, 100, bytes([9, 8, 7]) * 20_000), replace(DEEPSEEK_OCR, **limits))
    assert page.shape == shape
    assert (page == [9, 8, 7]).all()


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


def test_nothing_is_left_to_chance_tags_are_kept_and_the_guard_goes_along() -> None:
    assert made() == {
        "temperature": 0.0,
        "max_tokens": 7000,  # what the context leaves
        "min_tokens": 0,
        "skip_special_tokens": False,
        "detokenize": False,
        "extra_args": {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [8, 9]},
    }
    assert made(room=8192)["max_tokens"] == 8192


def test_a_mode_without_guard_has_none() -> None:
    request = replace(page(), mode=replace(BUILT_IN_MODES["ocr"], guard=None))
    assert "extra_args" not in sampling(request, DEEPSEEK_OCR, SETTINGS, room=10)


def test_the_settings_win_within_what_fits() -> None:
    chosen = made(sampling={"max_tokens": 800, "min_tokens": 800, "ignore_eos": True})
    assert (chosen["max_tokens"], chosen["min_tokens"], chosen["ignore_eos"]) == (800, 800, True)
    chosen = made(room=100, sampling={"max_tokens": 800, "min_tokens": 800})
    assert (chosen["max_tokens"], chosen["min_tokens"]) == (100, 100)


def test_text_is_made_by_vllm_only_where_stop_strings_need_it() -> None:
    assert made(sampling={"stop": ["END"]})["detokenize"] is True


@pytest.mark.parametrize(
    ("got", "expected", "room", "kind"),
    [
        (0, 273, 100, "image-tokens"),
        (272, 273, 100, "image-tokens"),
        (0, None, 100, "image-tokens"),
        (273, 273, 0, "too-large"),
        (273, 273, 1, None),
        (5, None, 1, None),
    ],
)
def test_an_image_that_is_not_whole_or_leaves_no_room_fails_the_page(
    got: int, expected: int | None, room: int, kind: str | None
) -> None:
    with pytest.raises(PageError) if kind else nullcontext() as error:
        check_tokens(got, expected, room=room)
    assert error is None or error.value.kind == kind


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
