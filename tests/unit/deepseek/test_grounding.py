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


PLAIN, FIGURE = AnswerFormat.PLAIN, AnswerFormat.FIGURE
CASES = {
    "a block is its label, its place and its text": (
        DOCUMENT,
        "<|ref|>title<|/ref|><|det|>[[72, 50, 400, 80]]<|/det|>\n# Annual report\n\n"
        "<|ref|>text<|/ref|><|det|>[[72, 100, 900, 300]]<|/det|>\nIt was a good year.",
        [
            Block("title", "# Annual report", (box(72, 50, 400, 80),), level=1),
            Block("text", "It was a good year.", (box(72, 100, 900, 300),)),
        ],
    ),
    "an image has a place and no text": (
        DOCUMENT,
        "<|ref|>image<|/ref|><|det|>[[10, 10, 500, 400]]<|/det|>\n\n"
        "<|ref|>image_caption<|/ref|><|det|>[[10, 410, 500, 430]]<|/det|>\n"
        "<center>Figure 1: A cat.</center>",
        [
            Block("image", "", (box(10, 10, 500, 400),)),
            Block("image_caption", "<center>Figure 1: A cat.</center>", (box(10, 410, 500, 430),)),
        ],
    ),
    "one det can hold several boxes": (
        DOCUMENT,
        "<|ref|>text<|/ref|><|det|>[[1, 2, 30, 40], [50, 60, 70, 80]]<|/det|>\nTwo columns",
        [Block("text", "Two columns", (box(1, 2, 30, 40), box(50, 60, 70, 80)))],
    ),
    "in layout the ref is the text": (
        SPANS,
        "<|ref|>Total: 12.50<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\n"
        "<|ref|>title<|/ref|><|det|>[[50, 60, 70, 80]]<|/det|>\n",
        [
            Block("text", "Total: 12.50", (box(1, 2, 30, 40),)),
            Block("text", "title", (box(50, 60, 70, 80),)),
        ],
    ),
    "words between spans are kept without a place": (
        SPANS,
        "<|ref|>cat<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|> and more",
        [Block("text", "cat", (box(1, 2, 30, 40),)), Block("text", "and more")],
    ),
    "a ref with words in document mode is text": (
        DOCUMENT,
        "<|ref|>Dear Sir or Madam,<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\nwe write to you",
        [Block("text", "Dear Sir or Madam,\nwe write to you", (box(1, 2, 30, 40),))],
    ),
    "coordinates of 1000 are clamped": (
        DOCUMENT,
        "<|ref|>text<|/ref|><|det|>[[0, 0, 1000, 999]]<|/det|>\nall",
        [Block("text", "all", (Box(0, 0, 1, 1),))],
    ),
    "swapped corners are mended": (
        DOCUMENT,
        "<|ref|>text<|/ref|><|det|>[[30, 40, 1, 2]]<|/det|>\nback to front",
        [Block("text", "back to front", (box(1, 2, 30, 40),))],
    ),
    "words among the coordinates stay text": (
        DOCUMENT,
        "<|ref|>text<|/ref|><|det|>[[144, clef 0, 848, 0]]<|/det|>\nAllegro",
        [Block("text", "clef\nAllegro")],
    ),
    "an orphan det without ref and end starts a block": (
        DOCUMENT,
        "Before\n<|det|>[[1, 2, 30, 40]]\nAfter 2024",
        [Block("text", "Before"), Block("text", "After 2024", (box(1, 2, 30, 40),))],
    ),
    "tags that lost their marks are still read": (
        DOCUMENT,
        "title[[20, 37, 459, 160]]\n# Report\n\ntext[[20, 200, 900, 400]]\nBody of 3 [[1]] notes",
        [
            Block("title", "# Report", (box(20, 37, 459, 160),), level=1),
            Block("text", "Body of 3 [[1]] notes", (box(20, 200, 900, 400),)),
        ],
    ),
    "layout that lost its marks is still read": (
        SPANS,
        "Total[[20, 37, 459, 160]]\n12.50[[500, 37, 600, 160]]\nmatrix [[1, 2], [3, 4]]",
        [
            Block("text", "Total", (box(20, 37, 459, 160),)),
            Block("text", "12.50", (box(500, 37, 600, 160),)),
            Block("text", "matrix [[1, 2], [3, 4]]"),
        ],
    ),
    "a det whose ref lost its marks takes the label before it": (
        DOCUMENT,
        "sub_title<|det|>[[20, 37, 459, 160]]<|/det|>\n## Scope",
        [Block("sub_title", "## Scope", (box(20, 37, 459, 160),), level=2)],
    ),
    "special tokens vanish": (
        DOCUMENT,
        "<|grounding|><|ref|>text<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\n"
        "end<\uff5cend\u2581of\u2581sentence\uff5c>",
        [Block("text", "end", (box(1, 2, 30, 40),))],
    ),
    "plain text is one block word for word": (
        PLAIN,
        "title[[20, 37, 459, 160]]\nis *kept* as <b>it</b> is",
        [Block("text", "title[[20, 37, 459, 160]]\nis *kept* as <b>it</b> is")],
    ),
    "no words are no block": (PLAIN, " \n", []),
    "tags in plain text are read all the same": (
        PLAIN,
        "<|ref|>text<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\nsaid anyway",
        [Block("text", "said anyway", (box(1, 2, 30, 40),))],
    ),
    "chart data is kept as it came": (
        FIGURE,
        "{'line': [(1, 2)]}\n",
        [Block("figure", "{'line': [(1, 2)]}")],
    ),
}


@pytest.mark.parametrize(("answers", "text", "blocks"), CASES.values(), ids=CASES)
def test_an_answer_becomes_blocks(answers: AnswerFormat, text: str, blocks: list[Block]) -> None:
    assert parse(text, answers) == blocks


@pytest.mark.parametrize(
    "coordinates",
    ["[[0, 0, 0, 0]]", "[[5, 5, 5, 90]]", "[[1, 2, 3]]", "[[1, 2, 3, 4, 5]]", "[[-4, 1, 30, 40]]",
     "[[10, 10, 2448, 3168]]", "[[1e3, 2, 3, 4]]", "[[]]", "[]", ""],
)  # fmt: skip
def test_a_bad_box_is_dropped_and_the_text_kept(coordinates: str) -> None:
    text = f"<|ref|>text<|/ref|><|det|>{coordinates}<|/det|>\nreal text"
    assert [block.boxes for block in parse(text, DOCUMENT)] == [()]
    assert parse(text, DOCUMENT)[0].text.endswith("real text")


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
