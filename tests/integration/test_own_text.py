"""A PDF's own text goes through the daemon as the folder says, page by page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pymupdf
import pytest

from tests.integration.tree import Tree

PROSE = "The board met on Tuesday to discuss the repair of the old northern pipeline in the hills."


def cut() -> bytes:
    """A page of type and a picture, each with a content stream that breaks off."""
    document = pymupdf.open(stream=mixed())
    for number in range(len(document)):
        page = document[number]
        content = page.read_contents() + b"\nBT 1 0 0 1 72 72"
        document.update_stream(page.get_contents()[0], content)
        document.xref_set_key(page.xref, "Contents", f"{page.get_contents()[0]} 0 R")
    return bytes(document.tobytes())


def mixed() -> bytes:
    """A page of type, and one that is a picture only."""
    document = pymupdf.open()
    document.new_page().insert_textbox((60, 60, 500, 200), PROSE, fontsize=11)
    picture = pymupdf.Pixmap(pymupdf.csGRAY, (0, 0, 50, 50), False)
    picture.clear_with(200)
    page = document.new_page()
    page.insert_image(page.rect, pixmap=picture, keep_proportion=False)
    return bytes(document.tobytes())


def worked_off(folder: Path, policy: str, data: bytes) -> tuple[Path, list[Any]]:
    """The bundle of a PDF, and what its sidecar says of the pages."""
    tree = Tree(folder / "srv")
    text = tree.config.read_text(encoding="utf-8")
    said_so = text.replace('pdf_text = "ocr"', f'pdf_text = "{policy}"')
    tree.config.write_text(said_so, encoding="utf-8")
    tree.drop("a.pdf", data)
    tree.work_off()
    bundle = tree.root / "outbox" / "scans" / "a"
    return bundle, json.loads((bundle / "a.json").read_text(encoding="utf-8"))["pages"]


@pytest.mark.parametrize(
    ("policy", "words_from"), [("auto", ["pdf", "engine"]), ("ocr", ["engine", "engine"])]
)
def test_each_page_says_where_its_words_come_from(
    tmp_path: Path, policy: str, words_from: list[str]
) -> None:
    bundle, pages = worked_off(tmp_path, policy, mixed())
    assert [page["words_from"] for page in pages] == words_from
    assert (PROSE in (bundle / "a.md").read_text(encoding="utf-8")) == (policy == "auto")


@pytest.mark.parametrize("policy", ["auto", "ocr"])
def test_a_page_that_breaks_off_is_labelled_and_noted(tmp_path: Path, policy: str) -> None:
    bundle, pages = worked_off(tmp_path, policy, cut())
    assert [page["state"] for page in pages] == ["partial", "partial"]
    assert all("may show less" in " ".join(page["notes"]) for page in pages)
    said = (bundle / "a.md").read_text(encoding="utf-8")
    assert "**Page 2 is incomplete:** its content breaks off" in said
