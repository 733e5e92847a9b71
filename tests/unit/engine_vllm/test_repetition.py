"""Does a text end in circles?"""

from hypothesis import given
from hypothesis import strategies as st

from ocrd.engine.repetition import loop_at_end, said_once


def test_a_sentence_said_again_and_again_is_a_loop() -> None:
    text = "An introduction. " + "The same words. " * 40
    loop = loop_at_end(text)
    assert loop is not None
    assert loop.period == len("The same words. ")
    assert len(text) - loop.start >= 39 * loop.period


def test_a_loop_that_is_cut_off_in_the_middle_of_a_round_is_a_loop() -> None:
    text = "Once. " + "<tr><td>a</td><td>b</td></tr>" * 30 + "<tr><td>a</"
    loop = loop_at_end(text)
    assert loop is not None
    assert loop.period == len("<tr><td>a</td><td>b</td></tr>")


def test_running_text_is_not_a_loop() -> None:
    words = " ".join(
        f"Paragraph {n} says something of its own about {n * 7919}." for n in range(99)
    )
    assert loop_at_end(words) is None


def test_a_leader_of_dots_in_a_table_of_contents_is_not_a_loop() -> None:
    assert loop_at_end("Contents\nIntroduction " + "." * 100) is None


def test_a_loop_in_the_middle_does_not_count() -> None:
    assert loop_at_end("ab" * 500 + " and then the text went on, as it should, to its end.") is None


def test_what_was_said_before_the_loop_and_one_round_of_it_remain() -> None:
    assert said_once("Start:" + "Round. " * 50) == "Start:Round. "
    assert said_once("No loop here.") == "No loop here."


@given(st.text(max_size=300), st.text(alphabet="abc \n", min_size=1, max_size=40))
def test_whatever_is_repeated_often_enough_is_found(before: str, piece: str) -> None:
    rounds = 160 // len(piece) + 5
    text = before + piece * rounds
    loop = loop_at_end(text)
    assert loop is not None
    tail = text[loop.start :]
    assert tail == (tail[: loop.period] * (len(tail) // loop.period + 1))[: len(tail)]
    assert loop.start <= len(before)
