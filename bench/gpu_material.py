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


def write_files(folder: Path, pages: int, each: int, *, small: bool) -> None:
    """Write pages as files of `each`: every other page has text, the rest are JPEG scans.

    Files of several pages are PDFs, and so are those of one page that has text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        write = partial(_write_file, folder, each, small)
        list(pool.map(write, range(pages // each), chunksize=8))


def _write_file(folder: Path, each: int, small: bool, number: int) -> None:
    width, height = (120, 90) if small else LETTER
    with pymupdf.open() as document:
        for page in range(number * each, (number + 1) * each):
            words = random.Random(page)
            lines = [
                " ".join(f"{words.choice(WORDS)}{words.randrange(99)}" for _ in range(9))
                for _ in range(2 if small else LINES)
            ]
            scan = None if page % 2 else _scan(lines, width, height)
            if each == 1 and scan:
                (folder / f"{number:04}.jpg").write_bytes(scan)
                return
            sheet = document.new_page(width=width, height=height)
            if scan:
                sheet.insert_image(sheet.rect, stream=scan)
                continue
            for place, line in enumerate(lines):
                sheet.insert_text((20, 20 + 17 * place), line, fontsize=9)
        document.save(folder / f"{number:04}.pdf")


def _scan(lines: list[str], width: int, height: int) -> bytes:
    scale = DPI / 72
    image = Image.new("RGB", (round(width * scale), round(height * scale)), "white")
    draw = ImageDraw.Draw(image)
    for place, line in enumerate(lines):
        draw.text((40, 30 + 34 * place), line, fill="black", font_size=19)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, dpi=(DPI, DPI))
    return file.getvalue()


WORDS = ("invoice", "total", "carried", "forward", "balance", "account", "number", "dated")


def decoded(folder: Path, count: int) -> list[PageImage]:
    """The first `count` pages as pixels, as the daemon would render them."""
    spawn = get_context("spawn")  # vLLM may be in this process
    with ProcessPoolExecutor(mp_context=spawn) as pool:
        return list(pool.map(_decode, sorted(folder.iterdir())[:count], chunksize=8))


def _decode(path: Path) -> PageImage:
    if path.suffix == ".pdf":
        pixels = pymupdf.open(path)[0].get_pixmap(dpi=DPI)
        return PageImage(pixels.width, pixels.height, bytes(pixels.samples))
    image = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    return PageImage(*image.size, image.tobytes())
