"""What vLLM says of a page, in our words."""

import pytest

from ocrd.engine.resident.client import finish_of, page_fault
from ocrd.engine.resident.pages import unprepared
from ocrd.page import Finish

LOOP = "The same. " * 40


@pytest.mark.parametrize(
    ("reason", "text", "finish"),
    [
        ("stop", "Whole.", Finish.STOP),
        ("stop", LOOP, Finish.STOP),
        ("length", "Cut in the mid", Finish.LENGTH),
        ("length", LOOP, Finish.REPETITION),
        ("repetition", "Whole.", Finish.REPETITION),
    ],
)
def test_why_a_text_ended(reason: str, text: str, finish: Finish) -> None:
    assert finish_of(reason, text) is finish


def test_answers_of_a_length_that_was_asked_for_are_whole() -> None:
    assert finish_of("length", LOOP, fixed=True) is Finish.STOP


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            "This model's maximum context length is 8192 tokens. However, you requested 9000",
            "too-large",
            "no token is left",
        ),
        (
            "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
            "too-large",
            "no token is left",
        ),
        ("the page needs 2 views", "prepare", "2 views"),
    ],
)
def test_a_page_that_vllm_cannot_prepare(said: str, kind: str, told: str) -> None:
    error = unprepared(ValueError(said))
    assert error.kind == kind
    assert told in error.message


def test_a_failed_request_names_the_cause_and_not_the_wrapper() -> None:
    wrapper = RuntimeError("")
    wrapper.__cause__ = KeyError("slot")
    assert "KeyError: 'slot'" in page_fault(wrapper).message
