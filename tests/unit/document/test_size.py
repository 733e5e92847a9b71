"""A result takes 1.3 times its input and 20 kB at most, or says why; no loss stays none."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pytest
from PIL import Image, ImageDraw, ImageFilter

from ocrd.page import Block, Box, Line, Markup, PageResult
from ocrd.pages.base import Rendering
from ocrd.pages.work import inspect
from tests.support.grain import grain, saved
from tests.support.needs import everything, few
from tests.unit.document.scans import bundle, pymupdf, record, sidecar, typeset

WANTED = Rendering(dpi=144, max_pixels=120_000_000, max_pages=5000)
SIZES = [(701, 997), (333, 478), (1241, 90), (17, 23)]


def text(size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for y in range(10, size[1], 24):
        draw.text((10, y), "Of all the words that were printed here " * 6, "black", font_size=14)
    return image


def noise(size: tuple[int, int]) -> Image.Image:
    return Image.merge("RGB", [grain(size, 70, seed) for seed in (1, 2, 3)])


def shapes(size: tuple[int, int]) -> Image.Image:
    image, rng = Image.new("RGB", size, "white"), random.Random(5)
    for _ in range(60):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        box = (x, y, x + rng.randrange(80), y + rng.randrange(80))
        ImageDraw.Draw(image).ellipse(box, colour)
    return image


CONTENTS: dict[str, Callable[[tuple[int, int]], Image.Image]] = {
    "blank": lambda size: Image.new("RGB", size, "white"),
    "coloured": lambda size: Image.new("RGB", size, (250, 240, 200)),
    "text": text,
    "scan": lambda size: Image.blend(
        text(size).filter(ImageFilter.GaussianBlur(0.7)), noise(size), 0.06
    ),
    "shapes": shapes,
    "noise": noise,
    "dots": lambda size: grain(size, 60).point(lambda shade: 255 * (shade < 240)).convert("RGB"),
}


def bilevel(image: Image.Image, *, dithered: bool = False) -> Image.Image:
    return image.convert("1", dither=Image.Dither(3 if dithered else 0))


def deep(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def veiled(image: Image.Image) -> Image.Image:
    """Its upper third half transparent."""
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda x: 120 + x // 2))
    return image


def pages(image: Image.Image, **options: Any) -> bytes:
    more = [image.transpose(turn) for turn in (Image.Transpose.ROTATE_180,) * 2]
    return saved(image, "TIFF", save_all=True, append_images=more, **options)


Maker = Callable[[Image.Image], bytes]
LOSSLESS: dict[str, Maker] = {
    "png 1 bit": lambda it: saved(bilevel(it), "PNG", optimize=True),
    "png 1 bit dithered": lambda it: saved(bilevel(it, dithered=True), "PNG", optimize=True),
    "png grey": lambda it: saved(it.convert("L"), "PNG", optimize=True),
    "png palette": lambda it: saved(it.quantize(256), "PNG", optimize=True),
    "png palette of 16": lambda it: saved(it.quantize(16), "PNG", optimize=True),
    "png clear palette": lambda it: saved(it.quantize(64), "PNG", optimize=True, transparency=0),
    "png rgb": lambda it: saved(it, "PNG", optimize=True),
    "png rgb packed badly": lambda it: saved(it, "PNG", compress_level=1),
    "png rgba": lambda it: saved(veiled(it), "PNG", optimize=True),
    "png grey and alpha": lambda it: saved(veiled(it).convert("LA"), "PNG", optimize=True),
    "tiff g4": lambda it: saved(bilevel(it), "TIFF", compression="group4"),
    "tiff g4 dithered": lambda it: saved(bilevel(it, dithered=True), "TIFF", compression="group4"),
    "tiff g3": lambda it: saved(bilevel(it), "TIFF", compression="group3"),
    "tiff 1 bit lzw": lambda it: saved(bilevel(it, dithered=True), "TIFF", compression="tiff_lzw"),
    "tiff 1 bit deflate": lambda it: saved(bilevel(it), "TIFF", compression="tiff_adobe_deflate"),
    "tiff lzw": lambda it: saved(it, "TIFF", compression="tiff_lzw"),
    "tiff grey deflate": lambda it: saved(
        it.convert("L"), "TIFF", compression="tiff_adobe_deflate"
    ),
    "tiff lzma": lambda it: saved(it, "TIFF", compression="lzma"),
    "tiff palette": lambda it: saved(it.quantize(256), "TIFF", compression="tiff_lzw"),
    "tiff plain": lambda it: saved(it, "TIFF"),
    "tiff of pages": lambda it: pages(it, compression="tiff_lzw"),
    "tiff of bilevel pages": lambda it: pages(
        bilevel(it, dithered=True), compression="tiff_adobe_deflate"
    ),
    "webp": lambda it: saved(it, "WEBP", lossless=True, quality=100),
    "webp with alpha": lambda it: saved(veiled(it), "WEBP", lossless=True),
    "gif": lambda it: saved(it.quantize(256), "GIF"),
    "bmp": lambda it: saved(it, "BMP"),
    "bmp 1 bit": lambda it: saved(bilevel(it), "BMP"),
    "jpeg 2000": lambda it: saved(it, "JPEG2000"),
    "ppm": lambda it: saved(it, "PPM"),
}
LOSSY: dict[str, Maker] = {
    "jpeg": lambda it: saved(it, "JPEG"),
    "jpeg progressive and poor": lambda it: saved(it, "JPEG", quality=20, progressive=True),
    "jpeg grey": lambda it: saved(it.convert("L"), "JPEG"),
    "jpeg cmyk": lambda it: saved(it.convert("CMYK"), "JPEG"),
    "tiff jpeg": lambda it: saved(it, "TIFF", compression="jpeg"),
    "tiff of jpeg pages": lambda it: pages(it, compression="jpeg"),
    "webp lossy": lambda it: saved(it, "WEBP", quality=60),
    "webp poor": lambda it: saved(it, "WEBP", quality=5),
    "webp lossy with alpha": lambda it: saved(veiled(it), "WEBP", quality=60),
    "heic": lambda it: saved(it, "HEIF", quality=60),
    "heic poor": lambda it: saved(it, "HEIF", quality=15),
    "avif": lambda it: saved(it, "AVIF", quality=50),
    "avif poor": lambda it: saved(it, "AVIF", quality=5),
    "jpeg 2000 lossy": lambda it: saved(
        it, "JPEG2000", quality_mode="rates", quality_layers=[40], irreversible=True
    ),
    "16 bits": lambda it: saved(deep(it), "PNG"),  # without loss, too: see below
}


def grown(folder: Path, before: int) -> list[str]:
    """The PDFs that take more than they may, of an original of so many bytes."""
    most, out = 1.3 * before + 20_000, folder / "out"
    return [name for name in ("scan.pdf", "scan.pdfa.pdf") if (out / name).stat().st_size > most]


def made(folder: Path, data: bytes) -> list[str]:
    """Make both PDFs of an image; the notes.  They are not too large, or one says so."""
    (folder / "a.img").write_bytes(data)
    count = inspect(folder / "a.img", WANTED).pages
    records = [record(number, PageResult(text="")) for number in range(1, count + 1)]
    wanted = frozenset({"pdf", "pdfa", "json"})
    bundle(folder, folder / "a.img", records, kind="image", outputs=wanted)
    notes: list[str] = sidecar(folder)["notes"]
    assert not grown(folder, len(data)) or any("tighter" in note for note in notes)
    return notes


def some(kind: str) -> list[tuple[str, tuple[int, int]]]:
    """Three contents (in CI, else one), each in one of the sizes; others for another kind."""
    rng = random.Random(kind)
    drawn = [(each, rng.choice(SIZES)) for each in rng.sample(sorted(CONTENTS), 3)]
    return drawn if everything() else drawn[:1]


def picture_in(pdf: Path) -> bytes:
    with pymupdf.open(str(pdf)) as document:
        pixmap = pymupdf.Pixmap(document, document[0].get_images()[0][0])
        return bytes(pymupdf.Pixmap(pymupdf.csRGB, pixmap).samples)


@pytest.mark.parametrize("kind", few([*LOSSLESS]))
def test_what_has_no_loss_keeps_its_pixels(tmp_path: Path, kind: str) -> None:
    for content, size in some(kind):
        (folder := tmp_path / content).mkdir()
        data = LOSSLESS[kind](CONTENTS[content](size))
        made(folder, data)
        true: Image.Image = Image.open(io.BytesIO(data))
        if true.has_transparency_data:
            seen = true.convert("RGBA")
            true = Image.new("RGBA", seen.size, "white")
            true.paste(seen, mask=seen.getchannel("A"))
        for name in ("scan.pdf", "scan.pdfa.pdf"):
            assert picture_in(folder / "out" / name) == true.convert("RGB").tobytes(), content


@pytest.mark.parametrize("kind", LOSSY)
def test_what_has_does_not_grow(tmp_path: Path, kind: str) -> None:
    for content, size in some(kind):
        (folder := tmp_path / content).mkdir()
        made(folder, LOSSY[kind](CONTENTS[content](size)))


def test_pictures_that_grow_a_little_each_and_much_together_say_why(tmp_path: Path) -> None:
    many = pages(bilevel(shapes((701, 997)), dithered=True), compression="tiff_adobe_deflate")
    assert made(tmp_path, many), "else this is no such case"


OF_ITS_OWN = {"webp with alpha", "jpeg cmyk"}  # packed like nothing in a PDF; no profile, no PDF/A


@pytest.mark.parametrize("kind", few(sorted({*LOSSLESS, *LOSSY} - OF_ITS_OWN)))
def test_a_page_of_text_needs_no_note(tmp_path: Path, kind: str) -> None:
    data = {**LOSSLESS, **LOSSY}[kind](text((701, 997)))
    assert made(tmp_path, data) == []


def test_grey_of_sixteen_bits_keeps_them_all(tmp_path: Path) -> None:
    shades = np.random.default_rng(1).integers(0, 65536, (97, 61), dtype=np.uint16)
    made(tmp_path, saved(Image.fromarray(shades), "PNG"))
    with pikepdf.open(tmp_path / "out" / "scan.pdf") as pdf:
        (image,) = pdf.pages[0].obj.Resources.XObject.values()
        assert image.BitsPerComponent == 16
        assert image.read_bytes() == shades.astype(">u2").tobytes()


def lines(count: int) -> PageResult:
    """So many lines of words that pack badly."""
    rng = random.Random(count)
    said = [" ".join(f"{rng.getrandbits(60):x}" for _ in range(5)) for _ in range(count)]
    rows = tuple(
        Line(each, Box(0.1, 0.05 + 0.9 * at / count, 0.9, 0.05 + 0.9 * (at + 0.7) / count))
        for at, each in enumerate(said)
    )
    block = Block("text", "\n".join(said), (Box(0.1, 0.05, 0.9, 0.95),), Markup.PLAIN)
    return PageResult(text="\n".join(said), blocks=(block,), lines=rows)


@pytest.mark.parametrize("page_count", [1, 4])
def test_pages_whose_text_takes_more_than_they_do_say_so(tmp_path: Path, page_count: int) -> None:
    blank = bilevel(Image.new("L", (1240, 1754), 255))
    more = [blank] * (page_count - 1)
    data = saved(blank, "TIFF", compression="group4", save_all=True, append_images=more)
    (tmp_path / "a.tif").write_bytes(data)
    records = [record(number, lines(60)) for number in range(1, page_count + 1)]
    wanted = frozenset({"pdf", "pdfa", "json"})
    bundle(tmp_path, tmp_path / "a.tif", records, kind="image", outputs=wanted)
    notes = sidecar(tmp_path)["notes"]
    assert [note.split(" ")[0] for note in notes] == grown(tmp_path, len(data))
    assert bool(notes) == (page_count == 4)


@pytest.mark.parametrize("born", [False, True])
def test_a_pdf_does_not_grow_or_says_so(tmp_path: Path, born: bool) -> None:
    with pymupdf.open() as document:
        for _ in range(12):
            page = document.new_page()
            if born:  # in a font that is not embedded, which PDF/A forbids
                page.insert_text((72, 90), "Of all the words that were printed here", fontsize=12)
            else:
                page.insert_image(page.rect, stream=typeset().png)
        document.save(str(tmp_path / "a.pdf"))
    records = [record(number, lines(5)) for number in range(1, 13)]
    bundle(tmp_path, tmp_path / "a.pdf", records, outputs=frozenset({"pdf", "pdfa", "json"}))
    notes = sidecar(tmp_path)["notes"]
    for name in grown(tmp_path, (tmp_path / "a.pdf").stat().st_size):
        assert any(note.startswith(name) for note in notes)
