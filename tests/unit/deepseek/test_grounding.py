"""Whatever the model says, its words are kept, in their order; its places when they are places."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrd.engine.deepseek.grounding import parse
from ocrd.modes import AnswerFormat
from ocrd.page import Block, Box
from tests.support.needs import few

DOCUMENT, SPANS = AnswerFormat.DOCUMENT, AnswerFormat.SPANS


def box(x1: int, y1: int, x2: int, y2: int) -> Box:
    return Box(x1 / 999, y1 / 999, x2 / 999, y2 / 999)


def test_a_block_is_its_label_its_place_and_its_text() -> None:
    text = (
        "<|ref|>title<|/ref|><|det|>[[72, 50, 400, 80]]<|/det|>\n# Annual report\n\n"
        "<|ref|>text<|/ref|><|det|>[[72, 100, 900, 300]]<|/det|>\nIt was a good year."
    )
    assert parse(text, DOCUMENT) == [
        Block("title", "# Annual report", (box(72, 50, 400, 80),), level=1),
        Block("text", "It was a good year.", (box(72, 100, 900, 300),)),
    ]


def test_an_image_has_a_place_and_no_text() -> None:
    text = (
        "<|ref|>image<|/ref|><|det|>[[10, 10, 500, 400]]<|/det|>\n\n"
        "<|ref|>image_caption<|/ref|><|det|>[[10, 410, 500, 430]]<|/det|>\n"
        "<center>Figure 1: A cat.</center>"
    )
    assert parse(text, DOCUMENT) == [
        Block("image", "", (box(10, 10, 500, 400),)),
        Block("image_caption", "<center>Figure 1: A cat.</center>", (box(10, 410, 500, 430),)),
    ]


def test_one_det_can_hold_several_boxes() -> None:
    text = "<|ref|>text<|/ref|><|det|>[[1, 2, 30, 40], [50, 60, 70, 80]]<|/det|>\nTwo columns"
    assert parse(text, DOCUMENT) == [
        Block("text", "Two columns", (box(1, 2, 30, 40), box(50, 60, 70, 80)))
    ]


def test_in_layout_the_ref_is_the_text() -> None:
    text = (
        "<|ref|>Total: 12.50<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\n"
        "<|ref|>title<|/ref|><|det|>[[50, 60, 70, 80]]<|/det|>\n"
    )
    assert parse(text, SPANS) == [
        Block("text", "Total: 12.50", (box(1, 2, 30, 40),)),
        Block("text", "title", (box(50, 60, 70, 80),)),
    ]


def test_words_between_spans_are_kept_without_a_place() -> None:
    text = "<|ref|>cat<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|> and more"
    assert parse(text, SPANS) == [
        Block("text", "cat", (box(1, 2, 30, 40),)),
        Block("text", "and more"),
    ]


def test_a_ref_with_words_in_document_mode_is_text() -> None:
    text = "<|ref|>Dear Sir or Madam,<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\nwe write to you"
    assert parse(text, DOCUMENT) == [
        Block("text", "Dear Sir or Madam,\nwe write to you", (box(1, 2, 30, 40),))
    ]


def test_coordinates_of_1000_are_clamped() -> None:
    text = "<|ref|>text<|/ref|><|det|>[[0, 0, 1000, 999]]<|/det|>\nall"
    assert parse(text, DOCUMENT) == [Block("text", "all", (Box(0, 0, 1, 1),))]


def test_swapped_corners_are_mended() -> None:
    text = "<|ref|>text<|/ref|><|det|>[[30, 40, 1, 2]]<|/det|>\nback to front"
    assert parse(text, DOCUMENT) == [Block("text", "back to front", (box(1, 2, 30, 40),))]


@pytest.mark.parametrize(
    "coordinates",
    ["[[0, 0, 0, 0]]", "[[5, 5, 5, 90]]", "[[1, 2, 3]]", "[[1, 2, 3, 4, 5]]", "[[-4, 1, 30, 40]]",
     "[[10, 10, 2448, 3168]]", "[[1e3, 2, 3, 4]]", "[[]]", "[]", ""],
)  # fmt: skip
def test_a_bad_box_is_dropped_and_the_text_kept(coordinates: str) -> None:
    text = f"<|ref|>text<|/ref|><|det|>{coordinates}<|/det|>\nreal text"
    assert [block.boxes for block in parse(text, DOCUMENT)] == [()]
    assert parse(text, DOCUMENT)[0].text.endswith("real text")


def test_words_among_the_coordinates_stay_text() -> None:
    text = "<|ref|>text<|/ref|><|det|>[[144, clef 0, 848, 0]]<|/det|>\nAllegro"
    assert parse(text, DOCUMENT) == [Block("text", "clef\nAllegro")]


def test_an_orphan_det_without_ref_and_end_starts_a_block() -> None:
    text = "Before\n<|det|>[[1, 2, 30, 40]]\nAfter 2024"
    assert parse(text, DOCUMENT) == [
        Block("text", "Before"),
        Block("text", "After 2024", (box(1, 2, 30, 40),)),
    ]


def test_tags_that_lost_their_marks_are_still_read() -> None:
    text = "title[[20, 37, 459, 160]]\n# Report\n\ntext[[20, 200, 900, 400]]\nBody of 3 [[1]] notes"
    assert parse(text, DOCUMENT) == [
        Block("title", "# Report", (box(20, 37, 459, 160),), level=1),
        Block("text", "Body of 3 [[1]] notes", (box(20, 200, 900, 400),)),
    ]


def test_layout_that_lost_its_marks_is_still_read() -> None:
    text = "Total[[20, 37, 459, 160]]\n12.50[[500, 37, 600, 160]]\nmatrix [[1, 2], [3, 4]]"
    assert parse(text, SPANS) == [
        Block("text", "Total", (box(20, 37, 459, 160),)),
        Block("text", "12.50", (box(500, 37, 600, 160),)),
        Block("text", "matrix [[1, 2], [3, 4]]"),
    ]


def test_a_det_whose_ref_lost_its_marks_takes_the_label_before_it() -> None:
    text = "sub_title<|det|>[[20, 37, 459, 160]]<|/det|>\n## Scope"
    assert parse(text, DOCUMENT) == [
        Block("sub_title", "## Scope", (box(20, 37, 459, 160),), level=2)
    ]


def test_special_tokens_vanish() -> None:
    text = (
        "<|grounding|><|ref|>text<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\nend<｜end▁of▁sentence｜>"  # noqa: RUF001 - the token's bars
    )
    assert parse(text, DOCUMENT) == [Block("text", "end", (box(1, 2, 30, 40),))]


def test_plain_text_is_one_block_word_for_word() -> None:
    text = "title[[20, 37, 459, 160]]\nis *kept* as <b>it</b> is"
    assert parse(text, AnswerFormat.PLAIN) == [Block("text", text)]
    assert parse(" \n", AnswerFormat.PLAIN) == []


def test_tags_in_plain_text_are_read_all_the_same() -> None:
    text = "<|ref|>text<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\nsaid anyway"
    assert parse(text, AnswerFormat.PLAIN) == [Block("text", "said anyway", (box(1, 2, 30, 40),))]


def test_chart_data_is_kept_as_it_came() -> None:
    assert parse("{'line': [(1, 2)]}\n", AnswerFormat.FIGURE) == [
        Block("figure", "{'line': [(1, 2)]}")
    ]


WELL_FORMED = (
    "<|ref|>title<|/ref|><|det|>[[72, 50, 400, 80]]<|/det|>\nAnnual report\n\n"
    "<|ref|>text<|/ref|><|det|>[[72, 100, 900, 300], [1, 2, 3, 4]]<|/det|>\nA good year"
)


def test_text_cut_off_anywhere_keeps_the_words_before_the_cut() -> None:
    for end in range(len(WELL_FORMED)):
        said = "".join(block.label + block.text for block in parse(WELL_FORMED[:end], DOCUMENT))
        for word in ("Annual", "report", "good", "year"):
            assert (word in said) == (word in WELL_FORMED[:end]), end


# Property: every letter of the input that is not in a tag is in the output, in the same order.

words = st.text("abcdefghijklmnopqrstuvwxyzäöüжя你好", min_size=1, max_size=8)
labels = st.sampled_from(["text", "title", "sub_title", "image", "table", "equation"])
numbers = st.integers(0, 1000)
boxes = st.tuples(numbers, numbers, numbers, numbers).map(lambda box: str(list(box)))
dets = st.lists(boxes, min_size=1, max_size=3).map(lambda found: f"[{', '.join(found)}]")
sentences = st.lists(words, min_size=1, max_size=6).map(" ".join)
tags = st.sampled_from(["<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>"])
pieces = st.one_of(
    tags, tags, dets, labels, sentences, st.sampled_from(["\n", "\n\n", " ", "[", "]]"])
)
readers = st.sampled_from(list(AnswerFormat))


def letters(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalpha())


def is_subsequence(wanted: str, found: str) -> bool:
    remaining = iter(found)
    return all(char in remaining for char in wanted)


@settings(deadline=None)
@given(st.lists(st.tuples(labels, dets, sentences), max_size=6))
def test_well_formed_text_comes_back_whole(blocks: list[tuple[str, str, str]]) -> None:
    text = "\n\n".join(
        f"<|ref|>{label}<|/ref|><|det|>{det}<|/det|>\n{said}" for label, det, said in blocks
    )
    found = parse(text, DOCUMENT)
    assert [(block.label, block.text) for block in found] == [
        (label, said) for label, _, said in blocks
    ]


@settings(deadline=None)
@given(st.lists(pieces, max_size=30), st.integers(0, 10), readers)
def test_mangled_text_loses_no_letter(parts: list[str], cut: int, answers: AnswerFormat) -> None:
    text = "".join(parts)
    text = text[: max(len(text) - cut, 0)]
    found = "".join(f"{block.label} {block.text}" for block in parse(text, answers))
    wanted = re.sub(r"<\|/?(?:ref|det)\|>", "", text)
    assert is_subsequence(letters(wanted), letters(found))


@settings(deadline=None)
@given(st.lists(pieces, max_size=30), readers)
def test_boxes_always_lie_on_the_page(parts: list[str], answers: AnswerFormat) -> None:
    for block in parse("".join(parts), answers):
        for place in block.boxes:
            assert 0 <= place.x1 < place.x2 <= 1
            assert 0 <= place.y1 < place.y2 <= 1


WORST = [
    "<|ref|>", "<|det|>", "<|det|>[[", "[[1, 2, 3, 4]]", "[[1,1],", "[[", "]]", "a[[1,1,1,1]]",
    "<|ref|>a<|det|>", "<\uff5c", "title[[", "<|/det|>\n", "[[1, 2, 3, 4], ", "[[1,1]]",
]  # fmt: skip


@pytest.mark.parametrize(("unit", "answers"), few([*product(WORST, [DOCUMENT, SPANS])]))
@pytest.mark.timeout(100)
def test_time_grows_with_the_length_and_not_with_its_square(
    unit: str, answers: AnswerFormat
) -> None:
    """Half a megabyte of the worst takes a second or so; quadratic time would take hours."""
    parse(unit * (500_000 // len(unit)), answers)


def test_coordinates_are_read_on_the_models_own_scale() -> None:
    """In pixels of a page of 1200 by 1600, and one pixel beyond its edge."""
    text = "<|ref|>title<|/ref|><|det|>[[120, 400, 600, 1601]]<|/det|>\nUp"
    assert parse(text, DOCUMENT, (1200, 1600)) == [
        Block("title", "Up", (Box(0.1, 0.25, 0.5, 1.0),), level=1),
    ]
    assert parse(text, DOCUMENT) == [Block("title", "Up", level=1)], "beyond a scale of 999"
