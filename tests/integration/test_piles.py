"""A pile as it comes out of a feeder: a page that lies, and the empty back side of another."""

import json
from typing import Any

import pymupdf

from tests.integration.tree import CONFIG, Tree, order
from tests.support.needs import needs, slow
from tests.support.samples import scan_of
from tests.unit.engine.test_upright import LETTER

WIDTH, HEIGHT = 420, 594  # points


def pile(*sheets: tuple[str, int]) -> bytes:
    """A scanned PDF: of each page its text and by how many degrees it lies turned."""
    document = pymupdf.open()
    for number, (text, turned) in enumerate(sheets):
        scan = scan_of(text, width=WIDTH, height=HEIGHT, dpi=130, turned=turned, seed=number)
        size = (HEIGHT, WIDTH) if turned in (90, 270) else (WIDTH, HEIGHT)
        page = document.new_page(width=size[0], height=size[1])
        page.insert_image(page.rect, stream=scan.data)
    return bytes(document.tobytes())


def configured(tree: Tree, *lines: str, engine: str = "auto") -> None:
    lines = (*lines, "[engine]", f'kind = "{engine}"', "workers = 1", "threads = 1", "")
    text = CONFIG.format(root=tree.root) + "\n".join(lines)
    tree.config.write_text(text, encoding="utf-8")


def results(tree: Tree, name: str) -> tuple[list[dict[str, Any]], dict[str, Any], Any]:
    """The sidecar's pages and summary, and the searchable PDF."""
    bundle = tree.root / "outbox" / "scans" / name
    sidecar = json.loads((bundle / f"{name}.json").read_text(encoding="utf-8"))
    return sidecar["pages"], sidecar["summary"], pymupdf.open(bundle / f"{name}.pdf")


@slow
def test_empty_back_sides_are_dropped_and_pages_turned_when_a_folder_asks(tree: Tree) -> None:
    configured(tree, "drop_blank = true", "upright = true", engine="rapidocr")
    tree.drop("pile.pdf", pile((LETTER, 0), ("", 0), (LETTER, 180)))
    order(tree, "run", "--once")
    pages, summary, pdf = results(tree, "pile")
    assert [page["dropped"] for page in pages] == [False, True, False]
    assert summary["dropped"] == 1
    assert [page["turned"] for page in pages] == [0, 0, 180]
    assert pages[2]["notes"] == ["turned 180 degrees clockwise, as RapidOCR found"]
    assert [page.rotation for page in pdf] == [0, 180]


@slow
def test_by_default_every_page_stays_as_it_was_scanned(tree: Tree) -> None:
    configured(tree, engine="rapidocr")
    tree.drop("pile.pdf", pile((LETTER, 180), ("", 0)))
    order(tree, "run", "--once")
    pages, _, pdf = results(tree, "pile")
    assert [page["dropped"] for page in pages] == [False, False]
    assert [page.rotation for page in pdf] == [0, 0]


@slow
@needs("tesseract")
def test_for_an_engine_that_cannot_see_it_tesseract_finds_which_way_is_up(tree: Tree) -> None:
    configured(tree, "upright = true")
    tree.drop("letter.pdf", pile((LETTER, 90)))
    code, said = tree.run()  # its engine says a word for the pixels it is shown, and turns nothing
    assert code == 0, said
    (page,), _, pdf = results(tree, "letter")
    assert page["turned"] == 270
    assert page["notes"][0].startswith("turned 270 degrees clockwise, as Tesseract found")
    assert [page.rotation for page in pdf] == [270]
    assert (pdf[0].rect.width, pdf[0].rect.height) == (WIDTH, HEIGHT)
