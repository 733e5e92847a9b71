"""Does a text end in circles?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrd.engine.repetition import loop_at_end, said_once
from tests.support.needs import examples

ROW = "<tr><td>a</td><td>b</td></tr>"
PROSE = " ".join(f"Paragraph {n} says something of its own about {n * 7919}." for n in range(99))


@pytest.mark.parametrize(
    ("before", "piece", "cut_off"),
    [("An introduction. ", "The same words. ", ""), ("Once. ", ROW, "<tr><td>a</")],
)
def test_a_text_said_again_and_again_is_a_loop(before: str, piece: str, cut_off: str) -> None:
    text = before + piece * 40 + cut_off
    loop = loop_at_end(text)
    assert loop is not None
    assert loop.period == len(piece)
    assert len(text) - loop.start >= 39 * loop.period


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "Contents\nIntroduction " + "." * 100,  # a leader of dots
        "ab" * 500 + " and then the text went on, as it should, to its end.",
    ],
)
def test_other_texts_are_none(text: str) -> None:
    assert loop_at_end(text) is None


def test_what_was_said_before_the_loop_and_one_round_of_it_remain() -> None:
    assert said_once("Start:" + "Round. " * 50) == "Start:Round. "
    assert said_once("No loop here.") == "No loop here."


@settings(max_examples=examples(100))
@given(st.text(max_size=300), st.text(alphabet="abc \n", min_size=1, max_size=40))
def test_whatever_is_repeated_often_enough_is_found(before: str, piece: str) -> None:
    rounds = 160 // len(piece) + 5
    text = before + piece * rounds
    loop = loop_at_end(text)
    assert loop is not None
    tail = text[loop.start :]
    assert tail == (tail[: loop.period] * (len(tail) // loop.period + 1))[: len(tail)]
    assert loop.start <= len(before)
