"""ALTO and hOCR as others read them, and whether they are what their specifications say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from ocrd.page import Box, Word

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parent / "schemas" / "alto-4.xsd"))
ALTO = {"a": "http://www.loc.gov/standards/alto/ns-v4#"}
Place = tuple[int, int, int, int]


def assert_valid(folder: Path) -> tuple[Any, Any]:
    """The ALTO and hOCR of a bundle, both found valid."""
    alto = etree.parse(folder / "scan.alto.xml")
    SCHEMA.assertValid(alto)
    hocr = etree.parse(folder / "scan.hocr", etree.XMLParser(load_dtd=False)).getroot()
    check_hocr(hocr)
    return alto, hocr


def of_class(hocr: Any, name: str) -> list[Any]:
    return list(hocr.iterfind(f".//*[@class='{name}']"))


def properties(node: Any) -> dict[str, str]:
    """What an element's title says (hOCR 1.2, 2.3)."""
    return dict(part.strip().split(None, 1) for part in node.get("title").split(";"))


def place(node: Any) -> Place:
    left, top, right, bottom = map(int, properties(node)["bbox"].split())
    return left, top, right, bottom


def check_hocr(hocr: Any) -> None:
    """The rules of hocr-tools' `hocr-check`, and of the specification: boxes hold what is in them,
    the capabilities tell what occurs, and words stand in lines, lines in areas, areas in pages."""
    told = {node.get("name"): node.get("content") for node in hocr.iterfind(".//{*}meta")}
    assert told["ocr-system"]
    assert int(told["ocr-number-of-pages"]) == len(of_class(hocr, "ocr_page")) > 0
    used = {node.get("class") for node in hocr.iterfind(".//*[@class]")}
    assert used <= set(told["ocr-capabilities"].split())
    ids = [node.get("id") for node in hocr.iterfind(".//*[@id]")]
    assert len(ids) == len(set(ids))
    inside = {
        "ocrx_word": {"ocr_line"}, "ocr_line": {"ocr_par"}, "ocr_par": {"ocr_carea", "ocr_table"},
        "ocr_carea": {"ocr_page"}, "ocr_table": {"ocr_page"}, "ocr_photo": {"ocr_page"},
    }  # fmt: skip
    for node in hocr.iterfind(".//*[@class]"):
        box, above = place(node), node.getparent()
        assert box[0] < box[2] and box[1] < box[3]
        if node.get("class") != "ocr_page":
            assert above.get("class") in inside[node.get("class")]
            outer = place(above)
            assert outer[0] <= box[0] and box[2] <= outer[2], (outer, box)
            assert outer[1] <= box[1] and box[3] <= outer[3], (outer, box)


def overlaps(boxes: list[Place]) -> Iterator[float]:
    """By how much pairs of boxes overlap, of the larger one's area."""

    def area(box: Place) -> int:
        return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)

    for one, other in itertools.combinations(boxes, 2):
        both = (max(one[0], other[0]), max(one[1], other[1]),
                min(one[2], other[2]), min(one[3], other[3]))  # fmt: skip
        yield area(both) / max(area(one), area(other))


def by_alto(alto: Any) -> list[Word]:
    """The words of the first page, in their order."""
    page = alto.find(".//a:Page", ALTO)
    sides = float(page.get("WIDTH")), float(page.get("HEIGHT"))
    words = []
    for node in page.iterfind(".//a:String", ALTO):
        x, y, width, height = (int(node.get(key)) for key in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
        box = Box(x / sides[0], y / sides[1], (x + width) / sides[0], (y + height) / sides[1])
        words.append(Word(node.get("CONTENT"), box))
    return words


def by_hocr(hocr: Any) -> list[Word]:
    page = of_class(hocr, "ocr_page")[0]
    _, _, width, height = place(page)
    places = [(node.text, place(node)) for node in of_class(page, "ocrx_word")]
    return [
        Word(said, Box(x1 / width, y1 / height, x2 / width, y2 / height))
        for said, (x1, y1, x2, y2) in places
    ]
