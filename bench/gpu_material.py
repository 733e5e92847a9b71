"""Material for the GPU benchmarks: a full-size model without its weights, and pages."""

from __future__ import annotations

import importlib.metadata
import io
import json
import random
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pymupdf
from PIL import Image, ImageDraw

from ocrd.page import PageImage
from tests.slow.vllm.checkpoint import FULL_LANGUAGE, LANGUAGE, SPECIALS, make

VOCABULARY = 129280
FIRST_SPECIAL = 128815  # <image>; the others follow, as in the published tokenizer
FIRST_IDS = 3  # begin, end, padding
LETTER = (612, 792)  # points
DPI = 144
QUALITY = 85
LINES = 44
DOCUMENT = 8  # pages of a multi-page file


def model_folder(folder: Path, *, small: bool) -> Path:
    """A checkpoint that vLLM fills with random weights: full-size, or `small` for a CPU."""
    make(folder, language=LANGUAGE if small else FULL_LANGUAGE)
    if not small:
        full_vocabulary(folder)
    return folder


def full_vocabulary(folder: Path) -> None:
    """Give the checkpoint as many tokens as the published one has, so that text costs as much.

    Tokens beyond the bytes and the specials are made-up words, which random weights produce.
    """
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    letters = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
    ids = dict(zip(SPECIALS[:FIRST_IDS], range(FIRST_IDS), strict=True))
    ids |= {token: FIRST_SPECIAL + n for n, token in enumerate(SPECIALS[FIRST_IDS:])}
    taken = set(ids.values())
    free = (number for number in range(VOCABULARY) if number not in taken)
    vocabulary = {letter: next(free) for letter in letters if letter not in ids}
    vocabulary |= {f"Ġw{number}": number for number in free}
    tokenizer["model"]["vocab"] = vocabulary | ids
    for token in tokenizer["added_tokens"]:
        token["id"] = ids[token["content"]]
    begin = SPECIALS[0]
    tokenizer["post_processor"]["special_tokens"][begin]["ids"] = [ids[begin]]
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    for name in ("config.json", "generation_config.json"):
        config: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
        for part in (config, config.get("language_config", {})):
            part |= {"bos_token_id": 0, "eos_token_id": 1}
        (folder / name).write_text(json.dumps(config), encoding="utf-8")


def plugin_path(folder: Path) -> Path | None:
    """Write ocrd's entry point for vLLM if ocrd runs from its sources and is not installed.

    Returns:
        A folder for `PYTHONPATH`, or None if nothing is needed.
    """
    if importlib.metadata.entry_points(group="vllm.general_plugins", name="ocrd_deepseek"):
        return None
    info = folder / "ocrd_daemon-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ocrd-daemon\nVersion: 0\n")
    (info / "entry_points.txt").write_text(
        "[vllm.general_plugins]\nocrd_deepseek = ocrd.engine.deepseek.plugin:register\n"
    )
    return folder


def write_pages(folder: Path, count: int, *, small: bool) -> None:
    """Write pages: every other one a PDF with text, the rest JPEG scans of the same size."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(_write_page, folder, small), range(count), chunksize=8))


def write_documents(folder: Path, count: int, *, small: bool) -> None:
    """Write `count` pages as PDFs of `DOCUMENT` pages each, every other page a scan."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(_write_document, folder, small), range(count // DOCUMENT)))


def _write_page(folder: Path, small: bool, number: int) -> None:
    if number % 2:
        document = pymupdf.open()
        _print(document, number, small)
        document.save(folder / f"page-{number:04}.pdf")
    else:
        image = _scan(number, small)
        image.save(folder / f"page-{number:04}.jpg", quality=QUALITY, dpi=(DPI, DPI))


def _write_document(folder: Path, small: bool, number: int) -> None:
    document = pymupdf.open()
    for page in range(number * DOCUMENT, (number + 1) * DOCUMENT):
        if page % 2:
            _print(document, page, small)
            continue
        width, height = _size(small)
        scan = io.BytesIO()
        _scan(page, small).save(scan, "JPEG", quality=QUALITY)
        sheet = document.new_page(width=width, height=height)
        sheet.insert_image(sheet.rect, stream=scan.getvalue())
    document.save(folder / f"document-{number:04}.pdf")


def _size(small: bool) -> tuple[int, int]:
    return (120, 90) if small else LETTER


def _lines(number: int, small: bool) -> list[str]:
    words = random.Random(number)
    return [
        " ".join(f"{words.choice(WORDS)}{words.randrange(99)}" for _ in range(9))
        for _ in range(2 if small else LINES)
    ]


def _print(document: pymupdf.Document, number: int, small: bool) -> None:
    width, height = _size(small)
    page = document.new_page(width=width, height=height)
    for place, line in enumerate(_lines(number, small)):
        page.insert_text((20, 20 + 17 * place), line, fontsize=9)


def _scan(number: int, small: bool) -> Image.Image:
    width, height = _size(small)
    scale = DPI / 72
    image = Image.new("RGB", (round(width * scale), round(height * scale)), "white")
    draw = ImageDraw.Draw(image)
    for place, line in enumerate(_lines(number, small)):
        draw.text((40, 30 + 34 * place), line, fill="black", font_size=19)
    return image


WORDS = ("invoice", "total", "carried", "forward", "balance", "account", "number", "dated")


def decoded(folder: Path, count: int) -> list[PageImage]:
    """The first `count` pages as pixels, as the daemon would render them."""
    with ProcessPoolExecutor(
        mp_context=get_context("spawn")
    ) as pool:  # vLLM may be in this process
        return list(pool.map(_decode, sorted(folder.iterdir())[:count], chunksize=8))


def _decode(path: Path) -> PageImage:
    if path.suffix == ".pdf":
        pixels = pymupdf.open(path)[0].get_pixmap(dpi=DPI)
        return PageImage(pixels.width, pixels.height, bytes(pixels.samples))
    image = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    return PageImage(*image.size, image.tobytes())
