"""Pages of several files become one PDF, as they are and in order, whatever is wrong with one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, TiffImagePlugin

from ocrd.document.base import PageOrigin
from ocrd.document.source_pdf import collated
from ocrd.page import PageResult
from tests.support.grain import grain, saved
from tests.unit.document.scans import (
    READERS,
    book,
    bundle,
    complaints,
    hits,
    pixels,
    pymupdf,
    record,
    scan_pdf,
    texts_on,
    typeset,
)

MOST = 10_000_000
MISSING = "This page of the original cannot be shown."


def picture(path: Path, shade: int) -> Path:
    path.write_bytes(saved(Image.new("L", (300, 200), shade), dpi=(100, 100)))
    return path


def fax(path: Path, *shades: int) -> Path:
    frames = [Image.new("L", (120, 160), shade) for shade in shades]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def of(source: Path, page: int = 1, pages: int = 1, kind: str = "") -> PageOrigin:
    told = kind or ("pdf" if source.suffix == ".pdf" else "image")
    return PageOrigin(source=source, kind=told, page=page, pages=pages)


def made(folder: Path, *origins: PageOrigin) -> tuple[Path, tuple[str, ...]]:
    work = folder / "work"
    work.mkdir()
    base = collated(origins, work, folder / "base.pdf", max_pixels=MOST)
    return base.path, base.notes


def shades(path: Path) -> list[int]:
    """The grey in the middle of each page."""
    with pymupdf.open(str(path)) as document:
        seen = [page.get_pixmap(colorspace=pymupdf.csGRAY, dpi=72) for page in document]
    return [shot.pixel(shot.width // 2, shot.height // 2)[0] for shot in seen]


def test_pictures_are_taken_over_byte_for_byte_in_any_order(tmp_path: Path) -> None:
    light, dark = picture(tmp_path / "light.jpg", 200), picture(tmp_path / "dark.jpg", 40)
    path, notes = made(tmp_path, of(dark), of(light))
    with pymupdf.open(str(path)) as document:
        streams = [
            document.xref_stream_raw(image[0]) for page in document for image in page.get_images()
        ]
        sizes = [(round(page.rect.width), round(page.rect.height)) for page in document]
    assert streams == [dark.read_bytes(), light.read_bytes()]
    assert (sizes, notes) == ([(216, 144)] * 2, ())


def test_pages_of_one_file_come_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    pages = book(tmp_path / "book.pdf", "1", "3", "4", "2")
    path, _ = made(tmp_path, *(of(pages, page, 4) for page in (1, 4, 2, 3)))
    assert texts_on(path) == ["1", "2", "3", "4"]


def test_frames_of_one_picture_file_do_so_too(tmp_path: Path) -> None:
    pile = fax(tmp_path / "pile.tif", 10, 90, 170, 250)
    path, _ = made(tmp_path, *(of(pile, page, 4) for page in (1, 4, 2, 3)))
    assert shades(path) == [10, 250, 90, 170]


def test_a_thumbnail_between_two_pages_is_no_page(tmp_path: Path) -> None:
    """As scanners and Windows write them; who reads the pages leaves it out as well."""
    path = tmp_path / "fax.tif"
    with TiffImagePlugin.AppendingTiffWriter(str(path), True) as file:
        for size, shade, kind in (((120, 160), 40, 2), ((12, 16), 128, 1), ((120, 160), 200, 2)):
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[254] = kind  # NewSubfileType: 2 a page of several, 1 a reduced version of one
            Image.new("L", size, shade).save(file, "TIFF", tiffinfo=tags)
            file.newFrame()
    assert shades(made(tmp_path, of(path, 1, 2), of(path, 2, 2))[0]) == [40, 200]


def test_pdfs_and_pictures_stand_side_by_side(tmp_path: Path) -> None:
    pages, pile = book(tmp_path / "b.pdf", "A", "B"), fax(tmp_path / "p.tif", 60, 120)
    grey = picture(tmp_path / "g.jpg", 200)
    origins = [of(pile, 2, 2), of(pages, 1, 2), of(grey), of(pages, 2, 2), of(pile, 1, 2)]
    path, notes = made(tmp_path, *origins)
    assert texts_on(path) == ["", "A", "", "B", ""]
    assert [shade for shade in shades(path) if shade < 250] == [120, 200, 60]
    assert (complaints(path), notes) == ("", ())


def test_pictures_in_a_pdf_are_not_encoded_anew(tmp_path: Path) -> None:
    truth = typeset()
    scan = scan_pdf(tmp_path / "scan.pdf", truth, truth)
    path, _ = made(tmp_path, of(scan, 2, 2), of(scan, 1, 2))
    assert pixels(path) == pixels(scan)
    with pymupdf.open(str(path)) as document, pymupdf.open(str(scan)) as original:
        image, own = document[0].get_images()[0][0], original[1].get_images()[0][0]
        assert document.xref_stream_raw(image) == original.xref_stream_raw(own)


def test_more_pages_than_are_held_at_once(tmp_path: Path, long: int) -> None:
    pages = book(tmp_path / "book.pdf", *map(str, range(1, long + 1)))
    path, _ = made(tmp_path, *(of(pages, page, long) for page in range(long, 0, -1)))
    assert texts_on(path) == [str(number) for number in range(long, 0, -1)]
    assert complaints(path) == ""


@pytest.mark.parametrize("broken", ["cut-off.jpg", "no.pdf", "absent page", "unreadable"])
def test_what_cannot_be_had_is_said_in_its_place(tmp_path: Path, broken: str) -> None:
    before, after = book(tmp_path / "before.pdf", "before"), book(tmp_path / "after.pdf", "after")
    origin = of(before, 2, 2)
    if broken == "cut-off.jpg":
        whole = io.BytesIO()
        grain((300, 200), 90).save(whole, "JPEG")
        (tmp_path / broken).write_bytes(whole.getvalue()[:3000])
        origin = of(tmp_path / broken, pages=2)
    elif broken != "absent page":
        (tmp_path / broken).write_bytes(b"%PDF-1.7\nnothing of use")
        origin = of(tmp_path / broken, kind="unreadable" if broken == "unreadable" else "pdf")
    path, notes = made(tmp_path, of(before), origin, of(after))
    assert texts_on(path) == ["before", MISSING, "after"]
    assert notes


def test_text_is_found_where_it_stands_on_joined_pages(tmp_path: Path) -> None:
    first, second = typeset(), typeset(("Another page altogether", "with other words on it"))
    (tmp_path / "1.png").write_bytes(first.png)
    scan_pdf(tmp_path / "2.pdf", second)
    pages: list[dict[str, Any]] = [
        record(1, PageResult(text="first", lines=first.as_lines())),
        record(2, PageResult(text="second", lines=second.as_lines())),
    ]
    for page, file in zip(pages, ("1.png", "2.pdf"), strict=True):
        page["came_from"] = {"file": file, "page": 1}
    origins = (of(tmp_path / "1.png"), of(tmp_path / "2.pdf"))
    bundle(tmp_path, tmp_path, pages, origins=origins)
    for read in READERS.values():
        for number, truth in enumerate((first, second)):
            assert hits(read(tmp_path / "out" / "scan.pdf", number), truth.words) > 0.9
    assert not (tmp_path / "out" / ".work").exists()
