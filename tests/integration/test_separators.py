"""A pile with separator pages: one file in, one bundle out, in it every document of the pile."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pymupdf
from PIL import Image

from tests.integration.test_several_files import configure, drop_joined, printed, sidecar
from tests.integration.tree import Tree, killed_on_the_way
from tests.support.needs import slow
from tests.unit.pages.barcodes import barcode, sheet

SEPARATOR = "<separator>"
POSITIONS = 8


def pile(*pages: str) -> bytes:
    """A PDF: of each page its text, an empty one, or a sheet with a barcode on it."""
    document = pymupdf.open()
    for text in pages:
        page = document.new_page(width=310, height=440)
        if text.startswith("<"):
            picture = io.BytesIO()
            sheet(barcode("PATCHT" if text == SEPARATOR else text.strip("<>"))).save(picture, "PNG")
            page.insert_image(page.rect, stream=picture.getvalue())
        else:
            page.insert_text((30, 60), text)
    return bytes(document.tobytes())


def documents(tree: Tree, name: str) -> list[list[str]]:
    """The printed text of each document of a pile, in order, less what the engine said."""
    index = sidecar(tree, name)
    pages = [printed(tree, f"{name}/{each['name']}") for each in index["documents"]]
    return [[re.sub(r"page|[0-9a-f]{16}", "", text).strip() for text in each] for each in pages]


def asked(tree: Tree) -> int:
    return sum(line.startswith("asked") for line in tree.diary.read_text().splitlines())


def test_a_page_with_the_code_parts_two_documents_and_is_not_read(tree: Tree) -> None:
    configure(tree, 'separator = "barcode"', 'separator_code = "PATCHT"')
    tree.drop("pile.pdf", pile("One", "Two", SEPARATOR, "Three", "<another>"))
    tree.work_off()
    assert documents(tree, "pile") == [["One", "Two"], ["Three", ""]]
    index = sidecar(tree, "pile")
    assert index["separators"] == [{"page": 3, "codes": ["PATCHT"]}]
    assert index["separator"] == {"kind": "barcode", "code": "PATCHT"}
    assert asked(tree) == 4
    second = sidecar(tree, "pile/pile-2")
    assert [(page["number"], page["pile_page"]) for page in second["pages"]] == [(1, 4), (2, 5)]
    assert tree.visible("archive") == ["pile.pdf"]


@slow
def test_codes_are_kept_with_a_pages_result_and_results_from_before_are_not_used_again(
    tree: Tree,
) -> None:
    data = pile("One", "", SEPARATOR, "Two")
    tree.drop("first.pdf", data)
    tree.work_off()
    assert "documents" not in sidecar(tree, "first")
    assert len(printed(tree, "first")) == 4
    configure(tree, 'separator = "barcode"')
    tree.drop("second.pdf", data)
    tree.work_off()
    before = asked(tree)
    tree.drop("third.pdf", data)
    tree.work_off()
    assert documents(tree, "second") == documents(tree, "third") == [["One", ""], ["Two"]]
    assert asked(tree) == before


def test_empty_pages_part_documents_where_the_folder_says_so(tree: Tree) -> None:
    configure(tree, 'separator = "blank"')
    tree.drop("pile.pdf", pile("", "One", "", "", "Two", "Three", ""))
    tree.drop("letter.pdf", pile("Alone"))
    tree.work_off()
    assert documents(tree, "pile") == [["One"], ["Two", "Three"]]
    assert [each["page"] for each in sidecar(tree, "pile")["separators"]] == [1, 3, 4, 7]
    assert printed(tree, "letter") == ["Alone"]


@slow
def test_a_joined_duplex_pile_is_taken_apart_in_the_order_of_its_pages(tree: Tree) -> None:
    configure(tree, 'duplex = "reversed"', 'separator = "barcode"')
    fronts, backs = pile("1", SEPARATOR, "3"), pile("4", "printed", "2")
    drop_joined(tree, "pile", {"fronts.pdf": fronts, "backs.pdf": backs})
    tree.work_off()
    assert documents(tree, "pile") == [["1", "2"], ["printed", "3", "4"]]
    second = sidecar(tree, "pile/pile-2")["pages"]
    assert [page["came_from"] for page in second] == [
        {"file": "backs.pdf", "page": 2},
        {"file": "fronts.pdf", "page": 3},
        {"file": "backs.pdf", "page": 1},
    ]


@slow
def test_the_documents_of_a_pile_stay_together_where_results_lie_side_by_side(tree: Tree) -> None:
    configure(tree, 'separator = "barcode"', 'layout = "flat"')
    tree.drop("pile.pdf", pile("One", SEPARATOR, "Two"))
    tree.drop("letter.pdf", pile("Alone"))
    tree.work_off()
    assert tree.visible("outbox") == [
        "letter.json",
        "letter.md",
        "letter.pdf",
        *(
            f"pile/pile-{part}/pile-{part}.{kind}"
            for part in "12"
            for kind in ("json", "md", "pdf")
        ),
        "pile/pile.json",
    ]


@slow
def test_killed_between_any_two_steps_a_pile_is_still_taken_apart_once(tmp_path: Path) -> None:
    def dropped(root: Path) -> Tree:
        tree = Tree(root)
        configure(tree, 'separator = "barcode"')
        tree.drop("pile.pdf", pile("One", SEPARATOR, "Two", "Three"))
        return tree

    parts = [f"pile/pile-{n}/pile-{n}.{kind}" for n in "12" for kind in ("json", "md", "pdf")]
    made = [*parts, "pile/pile.json"]
    for tree in killed_on_the_way(tmp_path, dropped, POSITIONS):
        assert tree.visible("outbox") in ([], made)
        tree.work_off()
        assert documents(tree, "pile") == [["One"], ["Two", "Three"]]
        assert (tree.visible("outbox"), tree.visible("archive")) == (made, ["pile.pdf"])
        assert tree.spooled() == []
        tree.check_nothing_twice()


@slow
def test_pictures_can_be_separators_too(tree: Tree) -> None:
    configure(tree, 'separator = "barcode"')
    frames = [sheet(), sheet(barcode("SEPARATOR")), sheet()]
    for frame, shade in zip(frames, (40, None, 90), strict=True):
        if shade is not None:
            frame.paste(Image.new("L", (200, 100), shade), (100, 100))
    data = io.BytesIO()
    frames[0].save(data, "TIFF", save_all=True, append_images=frames[1:])
    tree.drop("fax.tif", data.getvalue())
    tree.work_off()
    told: dict[str, Any] = json.loads(
        (tree.root / "outbox" / "scans" / "fax" / "fax.json").read_text(encoding="utf-8")
    )
    assert [each["pages"] for each in told["documents"]] == [[1], [3]]
