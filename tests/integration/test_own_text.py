"""A PDF's own text goes through the daemon as the folder says, page by page."""

from __future__ import annotations

import json
from pathlib import Path

import pymupdf
import pytest

from tests.integration.tree import Tree

PROSE = "The board met on Tuesday to discuss the repair of the old northern pipeline in the hills."


def mixed() -> bytes:
    """A page of type, and one that is a picture only."""
    document = pymupdf.open()
    document.new_page().insert_textbox((60, 60, 500, 200), PROSE, fontsize=11)
    picture = pymupdf.Pixmap(pymupdf.csGRAY, (0, 0, 50, 50), False)
    picture.clear_with(200)
    page = document.new_page()
    page.insert_image(page.rect, pixmap=picture, keep_proportion=False)
    return bytes(document.tobytes())


@pytest.mark.parametrize(
    ("policy", "words_from"), [("auto", ["pdf", "engine"]), ("ocr", ["engine", "engine"])]
)
def test_each_page_says_where_its_words_come_from(
    tmp_path: Path, policy: str, words_from: list[str]
) -> None:
    tree = Tree(tmp_path / "srv")
    text = tree.config.read_text(encoding="utf-8")
    said_so = text.replace('pdf_text = "ocr"', f'pdf_text = "{policy}"')
    tree.config.write_text(said_so, encoding="utf-8")
    tree.drop("a.pdf", mixed())
    tree.work_off()
    bundle = tree.root / "outbox" / "scans" / "a"
    pages = json.loads((bundle / "a.json").read_text(encoding="utf-8"))["pages"]
    assert [page["words_from"] for page in pages] == words_from
    assert (PROSE in (bundle / "a.md").read_text(encoding="utf-8")) == (policy == "auto")
