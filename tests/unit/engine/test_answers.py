"""Answers of other models become blocks; torn or strange ones lose no word and break nothing."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.engine import answers as parsers
from ocrd.modes import AnswerFormat
from ocrd.page import Block, Box

PAGE = (1000, 1000)
PARSERS = {
    "det-label": parsers.det_label,
    "md-anchor": parsers.md_anchor,
    "json-bbox": parsers.json_bbox,
    "markdown": parsers.markdown,
}
NEW = tuple(PARSERS)
WORD = st.text("abcdefghijklmnopqrstuvwxyzäß世界0123456789", min_size=3, max_size=9)
TEXT = st.lists(WORD, min_size=1, max_size=6).map(" ".join)
NUMBERS = st.tuples(*[st.integers(0, 1000)] * 4)
LIGHTON = ("title", "section", "text", "list", "caption", "footnote", "aside_text", "header",
           "footer", "page_number", "table", "chart", "formula", "code", "image")  # fmt: skip
DOTS = ("Caption", "Footnote", "Formula", "List-item", "Page-footer", "Section-header", "Table")


def read(parser: str, text: str, answers: AnswerFormat = AnswerFormat.DOCUMENT) -> list[Block]:
    return PARSERS[parser](text, answers, PAGE)


def words(blocks: list[Block]) -> list[str]:
    return sorted(re.findall(r"\w+", " ".join(block.text for block in blocks)))


def det(label: str, numbers: tuple[int, ...], text: str) -> str:
    return f"<|det|>{label} {list(numbers)}<|/det|>{text}\n"


def anchor(label: str, numbers: tuple[int, ...], text: str) -> str:
    return f"![{label}]({','.join(map(str, numbers))}) {text}\n\n"


def element(label: str, numbers: tuple[int, ...], text: str) -> dict[str, object]:
    return {"bbox": list(numbers), "category": label, "text": text}


def test_an_anchor_begins_a_block_that_runs_to_the_next() -> None:
    blocks = read(
        "md-anchor",
        "![title](100,50,900,120) # Annual report\n\n![image](100,200,500,600)\n"
        "![text](100,620,500,990) First column,\nsecond line.\n![text+](520,50,900,300) goes on.",
    )
    assert blocks == [
        Block("title", "# Annual report", (Box(0.1, 0.05, 0.9, 0.12),), level=1),
        Block("image", "", (Box(0.1, 0.2, 0.5, 0.6),)),
        Block(
            "text",
            "First column,\nsecond line. goes on.",
            (Box(0.1, 0.62, 0.5, 0.99), Box(0.52, 0.05, 0.9, 0.3)),
        ),
    ]


def test_a_label_stands_inside_the_tag_of_unlimited_ocr() -> None:
    text = "<|det|>title [0, 0, 999, 99]<|/det|>Heading\n<|det|>text [1, 2, 3"
    blocks = PARSERS["det-label"](text, AnswerFormat.DOCUMENT, (999, 999))
    assert [(block.label, block.text) for block in blocks] == [("title", "Heading")]
    assert blocks[0].boxes == (Box(0, 0, 1, 99 / 999),)


def test_elements_of_a_list_are_blocks_in_pixels() -> None:
    said = [element("Section-header", (0, 0, 500, 100), "Results"), element("Table", (0,) * 4, "")]
    picture = {"bbox": [10, 20, 30, 2000], "category": "Picture"}
    assert read("json-bbox", "```json\n" + json.dumps([*said, picture]) + "\n```") == [
        Block("section_title", "Results", (Box(0, 0, 0.5, 0.1),), level=2),
        Block("table", ""),
        Block("image", "", (Box(0.01, 0.02, 0.03, 1.0),)),
    ]


def test_markdown_loses_its_front_matter_and_its_figures_get_their_places() -> None:
    text = (
        "---\nprimary_language: en\nis_rotation_valid: True\n---\n# Head\n\n"
        "![A curve](page_100_200_300_400.png)\n\nAfter."
    )
    assert read("markdown", text) == [
        Block("text", "# Head"),
        Block("image", "A curve", (Box(0.1, 0.2, 0.4, 0.6),)),
        Block("text", "After."),
    ]


def test_a_fence_around_the_whole_is_not_part_of_it() -> None:
    assert read("markdown", "```markdown\n# Head\n```") == [Block("text", "# Head")]
    inside = "```\nmake\n```\n\nthen\n\n```\nrun\n```"
    assert read("markdown", inside) == [Block("text", inside)]


@pytest.mark.parametrize("parser", NEW)
@pytest.mark.parametrize("answers", [AnswerFormat.DOCUMENT, AnswerFormat.PLAIN, AnswerFormat.SPANS])
def test_coordinates_beyond_the_page_do_no_harm(parser: str, answers: AnswerFormat) -> None:
    for numbers in ((-5, 0, 1001, 99999), (7, 7, 7, 7), (900, 900, 100, 100)):
        made = {
            "det-label": det("text", numbers, "word"),
            "md-anchor": anchor("text", numbers, "word"),
            "json-bbox": json.dumps([element("Text", numbers, "word")]),
            "markdown": f"word ![](page_{abs(numbers[0])}_0_99999_1.png)",
        }[parser]
        blocks = PARSERS[parser](made, answers, PAGE)
        assert words(blocks) == ["word"]
        for box in (box for block in blocks for box in block.boxes):
            assert 0 <= box.x1 < box.x2 <= 1
            assert 0 <= box.y1 < box.y2 <= 1


@pytest.mark.parametrize("parser", NEW)
@given(st.text() | st.text('<|det/>![](){}",:0123text\\u category bbox\n'))
def test_nothing_that_a_model_says_breaks_a_parser(parser: str, text: str) -> None:
    for answers in AnswerFormat:
        read(parser, text, answers)


@pytest.mark.parametrize("parser", NEW)
@given(TEXT)
def test_an_answer_without_any_form_is_text(parser: str, text: str) -> None:
    assert words(read(parser, text)) == sorted(re.findall(r"\w+", text))


@given(st.lists(st.tuples(st.sampled_from(["text", "table", "title"]), NUMBERS, TEXT), min_size=1))
def test_every_word_of_well_formed_answers_is_there(
    parts: list[tuple[str, tuple[int, ...], str]],
) -> None:
    expected = sorted(word for _, _, text in parts for word in text.split())
    assert words(read("md-anchor", "".join(anchor(*part) for part in parts))) == expected
    assert words(read("det-label", "".join(det(*part) for part in parts))) == expected
    listed = json.dumps([element(*part) for part in parts])
    assert words(read("json-bbox", listed)) == expected


@given(
    st.lists(st.tuples(st.sampled_from(DOTS), NUMBERS, TEXT), min_size=1, max_size=5),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_list_torn_off_anywhere_keeps_what_it_said(
    parts: list[tuple[str, tuple[int, ...], str]], where: float, ascii_only: bool
) -> None:
    whole = json.dumps([element(*part) for part in parts], ensure_ascii=ascii_only)
    torn = whole[: int(where * len(whole))]
    found = " ".join(block.text for block in read("json-bbox", torn))
    for _, _, text in parts:
        said = json.dumps(text, ensure_ascii=ascii_only)
        if f'"text": {said}' in torn:
            assert text in found


@given(st.lists(st.tuples(NUMBERS, TEXT), min_size=1, max_size=5), st.floats(0, 1))
def test_tags_torn_off_anywhere_keep_what_they_said(
    parts: list[tuple[tuple[int, ...], str]], where: float
) -> None:
    whole = "".join(det("text", numbers, text) for numbers, text in parts)
    torn = whole[: int(where * len(whole))]
    found, at = " ".join(block.text for block in read("det-label", torn)), 0
    for _, text in parts:
        at = whole.index(text, at) + len(text)
        assert at > len(torn) or text in found


ANCHORED = st.tuples(
    st.sampled_from(LIGHTON), st.booleans(), NUMBERS, st.sampled_from([" ", "\n"]), TEXT
)


@given(st.lists(ANCHORED, min_size=1, max_size=6), st.floats(0, 1))
def test_every_label_of_lightonocr_3_keeps_its_words_and_its_box_wherever_it_is_torn_off(
    parts: list[tuple[str, bool, tuple[int, ...], str, str]], where: float
) -> None:
    """The forms that are published with it: the text may begin on the line after its marker."""
    whole, said, marks = "", list[tuple[int, str]](), list[tuple[int, tuple[int, ...]]]()
    for label, goes_on, numbers, between, text in parts:
        whole += f"![{label}{'+' * goes_on}]({','.join(map(str, numbers))})"
        marks.append((len(whole), numbers))
        said.append((len(whole + between), text))
        whole += f"{between}{text}\n"
    torn = whole[: round(where * len(whole))]
    blocks = read("md-anchor", torn)
    there = " ".join(text[: max(0, len(torn) - at)] for at, text in said)
    assert words(blocks) == sorted(re.findall(r"\w+", there))
    assert not re.search(r"[\[\](),]", " ".join(block.text for block in blocks))
    spanned = [n for at, n in marks if at <= len(torn) and n[0] != n[2] and n[1] != n[3]]
    assert sum(len(block.boxes) for block in blocks) == len(spanned)


def test_quotes_that_a_model_forgot_to_escape_spoil_one_element_only() -> None:
    text = (
        '[{"bbox": [0, 0, 500, 500], "category": "Text", "text": "He said "no" and left."},'
        ' {"bbox": [0, 600, 500, 700], "category": "Text", "text": "After."}]'
    )
    blocks = read("json-bbox", text)
    assert [block.text for block in blocks] == ['He said "no" and left.', "After."]
    assert all(block.boxes for block in blocks)
