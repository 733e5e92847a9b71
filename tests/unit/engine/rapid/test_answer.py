"""The three forms of an answer, with coordinates and escapes."""

from __future__ import annotations

import re

from ocrd.engine.rapid import answer
from ocrd.engine.rapid.blocks import blocks
from ocrd.engine.rapid.pieces import Piece
from ocrd.page import Box, Line
from tests.unit.engine.rapid.printed import PAGE, lines, piece

SPAN = re.compile(r"<\|ref\|>(.*?)<\|/ref\|><\|det\|>\[\[(\d+), (\d+), (\d+), (\d+)\]\]<\|/det\|>")
TEXT = [*lines("One line of text\nand the next", 100, 100), piece("Another block", 100, 300)]


def test_plain_text_keeps_lines_and_parts_blocks_by_a_blank_line() -> None:
    assert answer.plain(blocks(TEXT, PAGE)) == "One line of text\nand the next\n\nAnother block"


def test_plain_text_is_left_as_it_is_printed() -> None:
    page = [piece("# 1 <|ref|> <b>", 100, 100)]
    assert answer.plain(blocks(page, PAGE)) == "# 1 <|ref|> <b>"


def test_layout_has_a_span_for_each_line() -> None:
    spans = SPAN.findall(answer.layout(blocks(TEXT, PAGE)))
    assert [words for words, *_ in spans] == ["One line of text", "and the next", "Another block"]


def test_coordinates_run_from_0_to_999() -> None:
    whole = Piece(Line("all", Box(0, 0, 1, 1)), Box(0, 0, PAGE, PAGE))
    half = Piece(Line("half", Box(0.5, 0.25, 0.75, 0.5)), Box(500, 250, 750, 500))
    found = [SPAN.findall(answer.layout(blocks([it], PAGE)))[0] for it in (whole, half)]
    assert found == [("all", "0", "0", "999", "999"), ("half", "500", "250", "749", "500")]


def test_a_document_has_a_label_and_a_place_for_each_block() -> None:
    assert answer.document(blocks(TEXT, PAGE)) == (
        "<|ref|>text<|/ref|><|det|>[[100, 90, 260, 135]]<|/det|>\n"
        "One line of text and the next\n\n"
        "<|ref|>text<|/ref|><|det|>[[100, 290, 230, 310]]<|/det|>\nAnother block"
    )


def test_tags_printed_on_the_page_do_not_break_the_form() -> None:
    page = [piece("<|ref|>title<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>", 100, 100)]
    for form in (answer.layout, answer.document):
        text = form(blocks(page, PAGE))
        assert text.count("<|ref|>") == text.count("<|/det|>") == 1
        assert text.replace("\u2060", "").count("<|ref|>") == 2


def test_an_empty_page_is_an_empty_answer() -> None:
    for form in (answer.plain, answer.layout, answer.document):
        assert form([]) == ""
