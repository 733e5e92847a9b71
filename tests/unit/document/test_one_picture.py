"""What an engine reads of an image file and what its documents show are one picture."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFile, ImageOps

from ocrd.document.base import OUTPUTS
from ocrd.page import Block, Box, Line, Markup, PageResult, Word
from ocrd.pages.base import Rendering
from ocrd.pages.work import inspect, page
from tests.support.grain import grain, saved
from tests.support.needs import examples, slow
from tests.unit.document.archives import assert_valid
from tests.unit.document.pdfa_rules import faults
from tests.unit.document.scans import bundle, off, pymupdf, record, sidecar

WANTED = Rendering(dpi=144, max_pixels=120_000_000, max_pages=5000)
SIZE = (240, 160)
SAID = PageResult(
    text="",
    blocks=(Block("text", "word", (Box(0.4, 0.4, 0.9, 0.5),), Markup.PLAIN),),
    lines=(Line("word", Box(0.4, 0.4, 0.9, 0.5)),),
)


def grey() -> Image.Image:
    """A scan in which every corner differs."""
    image = Image.new("L", SIZE, 250)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 80, 50), fill=30)
    draw.rectangle((160, 0, 240, 40), fill=120)
    draw.ellipse((60, 80, 120, 150), fill=200)
    return image


def deep(mode: str, scale: float) -> Image.Image:
    image = Image.new("F" if mode == "F" else "I", SIZE)
    image.putdata([value * scale for value in grey().tobytes()])
    return image.convert(mode)


def tiff(orientation: int) -> bytes:
    """Uncompressed, as Pillow would map it into memory."""
    return saved(grey(), "TIFF", tiffinfo={274: orientation})


SOURCES: dict[str, Callable[[], bytes]] = {
    "12 bits in 16": lambda: saved(deep("I;16", 16), "PNG"),
    "16 bits": lambda: saved(deep("I;16", 257), "TIFF"),
    "16 bits, zero is white": lambda: saved(deep("I;16", 257), "TIFF", tiffinfo={262: 0}),
    "float up to one": lambda: saved(deep("F", 1 / 255), "TIFF"),
    "float up to 65535": lambda: saved(deep("F", 257), "TIFF"),
    "cmyk": lambda: saved(grey().convert("CMYK"), "TIFF"),
    "cmyk jpeg": lambda: saved(grey().convert("CMYK"), "JPEG"),
    "see-through": lambda: saved(
        Image.merge("LA", (Image.new("L", SIZE), ImageOps.invert(grey()))), "PNG"
    ),
    "palette": lambda: saved(grey().convert("P"), "GIF"),
    "webp": lambda: saved(grey().convert("RGB"), "WEBP", lossless=True),
    "webp lossy": lambda: saved(grey().convert("RGB"), "WEBP", quality=60),
    "avif": lambda: saved(grey().convert("RGB"), "AVIF"),
    "heic": lambda: saved(grey().convert("RGB"), "HEIF", quality=90),
    "tiff jpeg": lambda: saved(grey().convert("RGB"), "TIFF", compression="jpeg"),
    "jpeg 2000": lambda: saved(grey().convert("RGB"), "JPEG2000"),
    "bmp": lambda: saved(grey().convert("RGB"), "BMP"),
    "pnm": lambda: saved(grey().convert("RGB"), "PPM"),
    **{f"tiff turned {n}": (lambda n=n: tiff(n)) for n in range(1, 9)},  # type: ignore[misc]  # mypy infers no lambda with a default
}


def made(folder: Path, data: bytes, **options: Any) -> None:
    (folder / "a.img").write_bytes(data)
    count = inspect(folder / "a.img", WANTED).pages
    pages = [record(number, SAID) for number in range(1, count + 1)]
    bundle(folder, folder / "a.img", pages, **{"kind": "image", **options})


def as_read(path: Path) -> Image.Image:
    seen = page(path, 1, WANTED)
    return Image.frombytes("RGB", (seen.width, seen.height), seen.rgb)


def as_shown(pdf: Path, size: tuple[int, int]) -> Image.Image:
    with pdfium.PdfDocument(str(pdf)) as document:
        shown: Image.Image = document[0].render(scale=4).to_pil().convert("RGB")
    return shown.resize(size, Image.Resampling.BOX)


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_read_is_what_is_shown(tmp_path: Path, source: str) -> None:
    made(tmp_path, SOURCES[source]())
    read = as_read(tmp_path / "a.img")
    most = 10 if "cmyk" in source else 4  # inks look a little different to each
    assert off(as_shown(tmp_path / "out" / "scan.pdf", read.size), read) < most
    boxes = Image.open(tmp_path / "out" / "scan.boxes.jpg").resize(read.size)
    assert off(boxes, read) < 12  # the box and its label are drawn over it


@slow
def test_a_bitonal_plan_of_250_megapixels_is_read_and_shown(tmp_path: Path) -> None:
    plan = Image.new("1", (25_000, 10_000), 1)
    ImageDraw.Draw(plan).rectangle((1000, 1000, 12_000, 5000), fill=0)
    made(tmp_path, saved(plan, "TIFF", compression="group4", dpi=(600, 600)))
    read = as_read(tmp_path / "a.img")
    assert off(as_shown(tmp_path / "out" / "scan.pdf", read.size), read) < 2


def without_end(data: bytes) -> bytes:
    return data[:-2]


def with_half_an_end(data: bytes) -> bytes:
    return data[:-1]


def with_zeros_for_an_end(data: bytes) -> bytes:
    return data[:-2] + bytes(512)


@pytest.mark.parametrize("spoilt", [without_end, with_half_an_end, with_zeros_for_an_end])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_its_end_mark_alone_is_whole(
    tmp_path: Path, spoilt: Callable[[bytes], bytes], progressive: bool
) -> None:
    whole = saved(grain((300, 200), 60), progressive=progressive)
    made(tmp_path, spoilt(whole))
    truth = Image.open(io.BytesIO(whole)).convert("RGB")
    assert as_read(tmp_path / "a.img").tobytes() == truth.tobytes()
    assert sidecar(tmp_path)["notes"] == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "JPEG2000"])
def test_a_page_is_decoded_once_to_be_read_and_once_at_most_to_be_shown(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str | None] = []
    load = ImageFile.ImageFile.load

    def counted(image: ImageFile.ImageFile) -> Any:
        if image.tile and image.format == kind and image.size == SIZE:
            decoded.append(kind)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    (tmp_path / "a.img").write_bytes(saved(grey().convert("RGB"), kind))
    page(tmp_path / "a.img", 1, WANTED)
    assert len(decoded) == 1
    figure = Block("image", "", (Box(0.4, 0.4, 0.9, 0.5),), Markup.PLAIN)
    result = PageResult(text="", blocks=(*SAID.blocks, figure), lines=SAID.lines)
    bundle(tmp_path, tmp_path / "a.img", [record(1, result)], kind="image", outputs=OUTPUTS)
    assert len(decoded) <= 2


def test_a_long_tiff_is_made_in_turns(tmp_path: Path, long: int) -> None:
    frames = [Image.new("1", (16, 16), number % 2) for number in range(long)]
    data = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert struct.unpack("<H", data[2:4]) == (42,)
    made(tmp_path, data, outputs=frozenset({"pdf"}))
    with pymupdf.open(str(tmp_path / "out" / "scan.pdf")) as document:
        assert document.page_count == long
        looks = [
            document[number].get_pixmap(dpi=20).samples[0] for number in (0, 1, long - 2, long - 1)
        ]
    assert looks == [0, 255, 255, 0]


boxes = st.tuples(*[st.floats(-0.1, 1.1) | st.sampled_from([0.0, 0.3, 1.0])] * 4).map(
    lambda each: Box(*each)
)
sure = st.none() | st.sampled_from([-0.5, 0.0, 1.0, 1.5, float("nan"), float("inf")])
texts = st.text(max_size=40) | st.sampled_from(["", " ", "\n", "\x00", "a\u0301", "שלום (1)", "𠮷"])
words = st.builds(Word, texts, boxes)
results = st.builds(
    lambda text, rows, found, lines, label: PageResult(
        text=text,
        blocks=(Block(label, text, tuple(found), Markup.PLAIN, rows=rows),),
        lines=tuple(lines),
    ),
    texts,
    st.sampled_from([(), (("a", ""), ("b",)), ((),)]),
    st.lists(boxes, max_size=2),
    st.lists(st.builds(Line, texts, boxes, st.lists(words, max_size=2).map(tuple), sure)),
    st.sampled_from(["text", "image", "table", "title", "header", "equation"]),
)
shapes = st.sampled_from(
    [(1, 1), (3, 2000), (30_000, 3), (3, 30_000), (1, 700), (40, 40), (300, 200)]
)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "F", "LAB", "YCbCr")
LASTING = {"PNG": "1 L LA P RGB RGBA I;16", "JPEG": "L RGB CMYK YCbCr", "TIFF": " ".join(MODES),
    "WEBP": "RGB RGBA", "AVIF": "L RGB", "HEIF": "L RGBA", "BMP": "1 L P RGB", "GIF": "1 L P",
    "JPEG2000": "L LA RGB RGBA", "PPM": "1 L RGB I;16"}  # fmt: skip
KINDS = [(kind, mode) for kind, modes in LASTING.items() for mode in modes.split()]


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """A grey image in any mode, also those to which Pillow does not convert directly."""
    if mode == "LAB":
        return Image.merge("LAB", [image] * 3)
    if mode == "PA":
        return image.convert("P").convert("PA")
    return image.convert(mode if mode in ("1", "L", "LA", "F", "I;16") else "RGB").convert(mode)


@settings(
    deadline=None,
    max_examples=examples(24),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(shapes, st.sampled_from(KINDS), results, st.sampled_from([0, 90, 180, 270]))
def test_any_page_of_any_shape_becomes_a_bundle(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    kind: tuple[str, str],
    result: PageResult,
    turned: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    if kind[0] in ("WEBP", "AVIF", "HEIF"):
        size = min(size[0], 4000), min(size[1], 4000)  # their encoders take no more
    (folder / "a.png").write_bytes(saved(in_mode(grain(size, 120), kind[1]), kind[0]))
    assert inspect(folder / "a.png", WANTED).pages == 1
    assert page(folder / "a.png", 1, WANTED).width > 0
    found = record(1, PageResult(text="", blocks=result.blocks, lines=result.lines, turned=turned))
    found["result"]["blocks"][0].setdefault("markup", "plain")
    options = {"kind": "image", "upright": True, "drop_blank": True, "outputs": OUTPUTS}
    bundle(folder, folder / "a.png", [found], **options)
    with pdfium.PdfDocument(str(folder / "out" / "scan.pdf")) as document:
        assert len(document) == 1
    assert faults(folder / "out" / "scan.pdfa.pdf") == []
    assert_valid(folder / "out")


@pytest.mark.parametrize("text", ["\x08", "\u200b", "\u0301", "\x08 \x08"])
@pytest.mark.parametrize("box", [Box(0, 0, 0, 0), Box(0.1, 0.1, 0.4, 0.2)], ids=["none", "some"])
def test_words_without_a_width_have_their_place_all_the_same(
    tmp_path: Path, text: str, box: Box
) -> None:
    said = tuple(Word(word, box) for word in text.split(" "))
    result = PageResult(text=text, blocks=(), lines=(Line(text, Box(0, 0, 1, 1), said),))
    (tmp_path / "a.png").write_bytes(saved(grain((300, 200), 120), "PNG"))
    bundle(tmp_path, tmp_path / "a.png", [record(1, result)], kind="image", outputs=OUTPUTS)
    assert_valid(tmp_path / "out")
