"""The samples, read: characters, words in their places, order and structure.

The expected text and places are those the samples were drawn from.  The bounds are about three
times what was measured, for other processors' rounding (characters wrong of all: letter 0,
two columns 0.2 %, table 0.2 %, photo 0, Chinese 0, report 0.2 %).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymupdf
import pytest
from PIL import Image, ImageOps
from rapidfuzz.distance import Levenshtein

from ocrd.engine.rapid import child
from ocrd.engine.rapid.layout import Found, blocks
from ocrd.page import Box, PageImage, Word
from tests.support.needs import slow
from tests.support.samples import TITLES, Sample, SamplePage, write_samples

MOST_WRONG = {
    "letter-1": 0.003,
    "two-columns-1": 0.006,
    "table-1": 0.008,
    "photo-1": 0.003,
    "chinese-1": 0.01,
    "report-1": 0.006,
    "report-2": 0.006,
    "report-3": 0.006,
}
QUICK = {"table-1"}  # the quick tests of ocrd/layout have the columns


def each_of(*names: str) -> pytest.MarkDecorator:
    """A test of these pages, of which most are read in CI alone."""
    found = [name if name in QUICK else pytest.param(name, marks=slow) for name in names]
    return pytest.mark.parametrize("name", found)


@dataclass(frozen=True)
class Read:
    """A page with its truth and what was made of it."""

    truth: SamplePage
    found: list[Found]
    turned: int

    @property
    def words(self) -> list[Word]:
        return [
            word
            for block in self.found
            for row in block.rows
            for piece in row
            for word in piece.line.words
        ]


def images(sample: Sample) -> Iterator[PageImage]:
    """The sample's pages as a viewer shows them."""
    if sample.path.suffix == ".pdf":
        with pymupdf.open(sample.path) as document:
            for page in document:
                drawn = page.get_pixmap(dpi=200)
                yield PageImage(drawn.width, drawn.height, bytes(drawn.samples))
    else:
        image = ImageOps.exif_transpose(Image.open(sample.path)).convert("RGB")
        yield PageImage(image.width, image.height, image.tobytes())


class Pages(dict[str, Read]):
    """The samples' pages, each read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader = child._reader(1, "")  # as other tests of this process have it loaded

    def __missing__(self, name: str) -> Read:
        stem, _, number = name.rpartition("-")
        index = int(number) - 1
        (sample,) = write_samples(self._folder, [n for n in TITLES if n.startswith(stem)])
        image = [*images(sample)][index]
        reading = self._reader.read(image)
        found = blocks(reading.pieces, reading.pose.height)
        self[name] = Read(sample.pages[index], found, reading.pose.turned)
        return self[name]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    return Pages(tmp_path_factory.mktemp("samples"))


def letters(text: str) -> str:
    """Text without spaces, with broken words whole."""
    return re.sub(r"\s", "", text.replace("-\n", ""))


def wrong(read: str, truth: str) -> float:
    """Characters wrong, missing or too many, as a share of the true ones."""
    return Levenshtein.distance(letters(read), letters(truth)) / len(letters(truth))


def covered(true: Box, found: Box) -> float:
    """Intersection over union: near 1 only if the boxes are nearly the same."""
    width = min(true.x2, found.x2) - max(true.x1, found.x1)
    height = min(true.y2, found.y2) - max(true.y1, found.y1)
    both = max(width, 0) * max(height, 0)
    areas = [(box.x2 - box.x1) * (box.y2 - box.y1) for box in (true, found)]
    return both / (sum(areas) - both)


@each_of(*MOST_WRONG)
def test_the_text_is_what_is_printed(pages: Pages, name: str) -> None:
    page = pages[name]
    assert (
        wrong("\n\n".join(block.printed for block in page.found), page.truth.text)
        <= MOST_WRONG[name]
    )


@each_of(*MOST_WRONG)
def test_no_upright_page_is_turned(pages: Pages, name: str) -> None:
    assert pages[name].turned == 0


@each_of(*(name for name in MOST_WRONG if name != "chinese-1"))
def test_words_stand_where_they_are_printed(pages: Pages, name: str) -> None:
    """Nine in ten are found with a box that shares half its area with the true one."""
    page = pages[name]
    placed = [
        any(it.text == word.text and covered(word.box, it.box) >= 0.5 for it in page.words)
        for word in page.truth.words
    ]
    assert sum(placed) / len(placed) >= 0.9


@slow
def test_chinese_runs_stand_where_they_are_printed(pages: Pages) -> None:
    """A run between marks; the mark behind it belongs to the word found, not to the true one."""
    page = pages["chinese-1"]

    def bare(text: str) -> str:
        return "".join(char for char in text if not unicodedata.category(char).startswith("P"))

    runs = [word for word in page.truth.words if len(word.text) > 3]
    placed = [
        any(bare(it.text) == word.text and covered(word.box, it.box) >= 0.5 for it in page.words)
        for word in runs
    ]
    assert sum(placed) / len(placed) >= 0.8


@slow
def test_columns_are_read_one_after_the_other(pages: Pages) -> None:
    texts = [block.text for block in pages["two-columns-1"].found]
    assert texts[0] == "What a Lighthouse Keeper Wrote Down"
    headings = [block.text for block in pages["two-columns-1"].found if block.level == 2]
    assert headings == ["The notebooks", "Birds and ships", "The last page"]
    ships = next(n for n, text in enumerate(texts) if text.startswith("He counted the ships"))
    assert texts[ships - 1].endswith("stayed away.")


@slow
def test_words_broken_at_line_ends_are_whole_in_a_document(pages: Pages) -> None:
    text = "\n".join(block.text for block in pages["two-columns-1"].found)
    assert "cupboard. When the light" in text
    assert "the weather. It is the birds." in text


def test_the_table_has_its_rows_and_cells(pages: Pages) -> None:
    tables = [block.cells for block in pages["table-1"].found if block.label == "table"]
    assert len(tables) == 1
    (cells,) = tables
    truth = [line.split("  ") for line in pages["table-1"].truth.text.split("\n\n")[2].split("\n")]
    assert [len(row) for row in cells] == [5] * 9
    same = sum(
        a == b
        for mine, true in zip(cells, truth, strict=True)
        for a, b in zip(mine, true, strict=True)
    )
    assert same >= 43  # of 45; a speck of dust may look like a full stop


@each_of(*(name for name in MOST_WRONG if name != "table-1"))
def test_no_table_is_seen_where_there_is_none(pages: Pages, name: str) -> None:
    assert all(block.label != "table" for block in pages[name].found)


@each_of("letter-1", "photo-1", "report-1", "report-2", "report-3")
def test_paragraphs_are_those_of_the_text(pages: Pages, name: str) -> None:
    """Each paragraph of the truth is a block of its own; a lone page number may be overlooked."""
    blocks = [re.sub(r"\s+", "", block.text) for block in pages[name].found]
    truth = [re.sub(r"\s+", "", part) for part in pages[name].truth.text.split("\n\n")]
    paragraphs = [part for part in truth if not part.isdigit()]
    found = [block for block in blocks if not block.isdigit()]
    assert len(found) == len(paragraphs)
    assert all(wrong(a, b) < 0.05 for a, b in zip(found, paragraphs, strict=True))


@slow
def test_the_head_and_foot_of_a_report_are_told_from_its_text(pages: Pages) -> None:
    labels = [[block.label for block in pages[f"report-{n}"].found] for n in (2, 3)]
    assert [it[0] for it in labels] == ["header", "header"]
    assert [it[-1] for it in labels] == ["page_number", "page_number"]
    assert all("sub_title" in it and "text" in it for it in labels)


@each_of("two-columns-1", "table-1", "photo-1", "chinese-1", "report-1")
def test_a_page_begins_with_its_title(pages: Pages, name: str) -> None:
    labels = [block.label for block in pages[name].found if block.label != "header"]
    assert labels[0] == "title"
    assert labels.count("title") == 1
