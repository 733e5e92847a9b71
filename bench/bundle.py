"""CPU that a builder spends on one bundle of a one-page file, all artefacts made.

Two kinds of scan (a JPEG, a PDF of it) and three kinds of text: grounded Markdown, and without any
tags 800 words of many scripts and 800 made-up words.  The ratio is to decoding and encoding such
a scan once.
"""

from __future__ import annotations

import io
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pymupdf
from PIL import Image, ImageDraw

from bench.common import machine
from bench.wave_daemon import answer
from ocrd.document.base import OUTPUTS, BundleSpec
from ocrd.document.pile import build
from ocrd.modes import Reader
from ocrd.page import Block, PageResult

PAGES = 20
SIZE, DPI = (1224, 1584), 144
WORDS = ("invoice", "total", "carried", "forward", "balance", "account", "number", "dated")
ALPHABETS = tuple(
    [chr(code) for code in range(first, last)]
    for first, last in (
        *((0x61, 0x7B), (0xC0, 0x180), (0x370, 0x3FF), (0x410, 0x450), (0x5D0, 0x5EB)),
        *((0x621, 0x64B), (0x905, 0x93A), (0x4E00, 0x5E00), (0xAC00, 0xAD00), (0x1F600, 0x1F640)),
        (0x2000, 0x2010),  # spaces and marks without a shape
    )
)


def many_scripts(number: int) -> PageResult:
    """Words of one script each, a few of them very long."""
    chance = random.Random(number)
    words = (
        "".join(chance.choices(chance.choice(ALPHABETS), k=chance.choice((*range(1, 12), 80))))
        for _ in range(800)
    )
    return _result(" ".join(words))


def _result(text: str) -> PageResult:
    blocks = (Block("text", text),)
    return PageResult(text=text, blocks=blocks, prompt_tokens=939, output_tokens=800, seconds=1.0)


def made_up(number: int) -> PageResult:
    """What a model of random weights says (`bench.gpu_material`): words that are not the page's."""
    words = random.Random(number).choices(range(128_000), k=800)
    text = " ".join(f"w{word}" for word in words)
    return _result(text)


def scan(path: Path, number: int) -> None:
    """A page of words, as a scanner or a phone would send it."""
    chance = random.Random(number)
    image = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(image)
    for line in range(44):
        words = " ".join(f"{chance.choice(WORDS)}{chance.randrange(99)}" for _ in range(9))
        pen.text((40, 30 + 34 * line), words, fill="black", font_size=19)
    image.save(path, quality=85, dpi=(DPI, DPI))


def as_pdf(path: Path, picture: Path) -> None:
    """The same as a PDF of one picture."""
    document = pymupdf.open()
    page = document.new_page(width=SIZE[0] / 2, height=SIZE[1] / 2)
    page.insert_image(page.rect, filename=picture)
    document.save(path)


def ordered(folder: Path, source: Path, result: PageResult) -> BundleSpec:
    """What the worker would ask for."""
    folder.mkdir()
    record = {"number": 1, "state": "done", "tries": 1, "tokens": 800, "seconds": 1.0}
    record |= {"reused": False, "error": None, "result": json.loads(result.to_json())}
    (folder / "pages").write_text(json.dumps(record) + "\n")
    (folder / "out").mkdir()
    return BundleSpec(
        source=source,
        name="scan",
        kind="pdf" if source.suffix == ".pdf" else "image",
        pages=folder / "pages",
        into=folder / "out",
        outputs=OUTPUTS,
        reader=Reader.DOCUMENT,
        dpi=DPI,
        facts={"source": source.name},
    )


TEXTS = {"grounded": answer, "many scripts": many_scripts, "made up": made_up}


def cpu_ms(calls: Iterable[Callable[[], object]]) -> float:
    """The median call's CPU."""
    used = []
    for call in calls:
        began = time.process_time()
        call()
        used.append(time.process_time() - began)
    return statistics.median(used) * 1000


def repainted(picture: Path) -> None:
    """The least that it takes to draw on a scan: decoded and encoded once."""
    with Image.open(picture) as image:
        image.save(io.BytesIO(), "JPEG", quality=88)


def main() -> None:
    pages = range(int(sys.argv[1]) if len(sys.argv) > 1 else PAGES)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="ocrd-bench-") as name:
        work = Path(name)
        for number in pages:
            scan(work / f"{number}.jpg", number)
            as_pdf(work / f"{number}.pdf", work / f"{number}.jpg")
        bare = cpu_ms(partial(repainted, work / f"{number}.jpg") for number in pages)
        print(f"a scan decoded and encoded once by Pillow: {bare:.1f} ms of CPU")
        for text, said in TEXTS.items():
            for kind in ("jpg", "pdf"):
                orders = [
                    ordered(
                        work / f"{text}-{number}.{kind}", work / f"{number}.{kind}", said(number)
                    )
                    for number in pages
                ]
                took = cpu_ms(partial(build, order) for order in orders)
                print(f"{kind}, {text}: {took:.1f} ms of CPU a bundle, ratio {took / bare:.1f}")


if __name__ == "__main__":
    main()
