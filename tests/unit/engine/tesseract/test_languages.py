"""Pages in other languages: read where the folder names theirs, never passed off as read else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from ocrd.engine.base import Engine
from ocrd.engine.rapid import RapidEngine
from ocrd.engine.rapid.engine import for_tesseract
from ocrd.engine.tesseract import packs
from ocrd.engine.tesseract.words import composed
from ocrd.errors import EngineDownError
from ocrd.languages import languages
from ocrd.page import PageImage, PageResult
from tests.support.needs import few, needs
from tests.support.scripts import TURKISH, UNKNOWN, VIETNAMESE, Print, page_of
from tests.unit.engine.contract import request
from tests.unit.engine.test_rapid import wrong

pytestmark = [
    needs("tesseract", "tesseract-languages", "fonts"),
    pytest.mark.asyncio(loop_scope="module"),
]
LATIN = (VIETNAMESE, TURKISH)
READ: dict[tuple[PageImage, str], PageResult] = {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Engine]:
    made = RapidEngine(workers=1, threads=1)
    await made.start(lambda _stage: None)
    yield made
    await made.stop()


async def read(engine: Engine, page: PageImage, language: str = "") -> PageResult:
    """Read a page, once for all tests that look at what comes of it."""
    if (page, language) not in READ:
        READ[page, language] = await engine.recognise(replace(request(page), language=language))
    return READ[page, language]


def turned(page: PageImage, degrees: int) -> PageImage:
    """The page turned clockwise."""
    image = Image.frombytes("RGB", (page.width, page.height), page.rgb)
    return page_of(image.rotate(-degrees, expand=True))


@pytest.mark.parametrize("printed", few([*UNKNOWN, *LATIN]), ids=lambda it: it.language)
async def test_a_page_whose_language_is_named_is_read(engine: Engine, printed: Print) -> None:
    result = await read(engine, printed.drawn(), printed.language)
    assert wrong(result.text, printed.text) <= (0.002 if printed is TURKISH else 0.02)
    assert result.partial is None
    assert [line.text for line in result.lines] == list(filter(None, result.text.split("\n")))


@pytest.mark.parametrize("printed", few([*UNKNOWN, VIETNAMESE]), ids=lambda it: it.language)
async def test_what_cannot_be_read_is_said_and_what_to_set(engine: Engine, printed: Print) -> None:
    page = printed.drawn()
    result = await read(engine, page)
    assert result.partial is not None
    assert 'language = "' in result.partial
    assert result.turned == 0


async def test_a_line_in_a_script_that_is_not_known_is_enough(engine: Engine) -> None:
    english = ("The boats leave the water before the first of November.",) * 4
    greek = UNKNOWN[2]
    page = replace(greek, lines=(greek.lines[0], *english)).drawn(points=9)
    result = await read(engine, page)
    assert result.partial is not None
    assert 'language = "' in result.partial


async def test_where_the_wrong_language_is_named_that_is_said(engine: Engine) -> None:
    russian, _, greek, *_ = UNKNOWN
    result = await read(engine, greek.drawn(), russian.language)
    assert result.partial is not None
    assert 'language = "' in result.partial


async def test_a_page_that_looks_turkish_is_noted(engine: Engine) -> None:
    result = await read(engine, TURKISH.drawn())
    assert [note for note in result.notes if 'language = "tr"' in note]


@pytest.mark.parametrize(
    ("degrees", "printed"),
    few([*product([90, 180, 270], [UNKNOWN[0], UNKNOWN[4]])]),
    ids=lambda it: getattr(it, "language", it),
)
async def test_a_page_that_lies_is_read_and_its_words_stay_in_place(
    engine: Engine, printed: Print, degrees: int
) -> None:
    upright = await read(engine, printed.drawn(), printed.language)
    lying = await read(engine, turned(printed.drawn(), degrees), printed.language)
    assert lying.turned == 360 - degrees
    assert wrong(lying.text, printed.text) <= 0.02
    first, last = upright.lines[0].box.turned(degrees), upright.lines[-1].box.turned(degrees)
    assert lying.lines[0].box.rounded() == pytest.approx(first.rounded(), abs=0.02)
    assert lying.lines[-1].box.rounded() == pytest.approx(last.rounded(), abs=0.02)


async def test_lines_that_begin_on_the_right_have_their_first_word_there(engine: Engine) -> None:
    hebrew = UNKNOWN[5]
    line = (await read(engine, hebrew.drawn(), "he")).lines[0]
    assert [word.text for word in line.words] == hebrew.lines[0].split(" ")
    rights = [word.box.x2 for word in line.words]
    assert rights == sorted(rights, reverse=True)


async def test_a_page_waits_while_its_model_is_not_there(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "folder", lambda: tmp_path)
    with pytest.raises(EngineDownError) as waits:
        await engine.recognise(replace(request(UNKNOWN[0].drawn()), language="ru"))
    assert waits.value.hint == "sudo apt install tesseract-ocr-rus, then systemctl restart ocrd."


async def test_every_result_knows_which_models_made_it(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.named("de") == engine.named("") == (engine.kind, engine.model)
    kind, before = engine.named("ru")
    assert kind == "tesseract"
    (tmp_path / "rus.traineddata").write_bytes(b"another")
    monkeypatch.setattr(packs, "folder", lambda: tmp_path)
    assert engine.named("ru")[1] != before


@pytest.mark.parametrize(
    ("language", "kind", "by"),
    [
        ("", "rapidocr", ""),
        ("de+fr", "rapidocr", ""),
        ("ja", "rapidocr", ""),
        ("vi", "rapidocr", "vi"),
        ("de+ru", "rapidocr", "de+ru"),
        ("", "tesseract", "en"),
        ("de", "tesseract", "de"),
    ],
)
async def test_who_reads_what(language: str, kind: str, by: str) -> None:
    assert for_tesseract(language, kind) == by


async def test_what_has_to_be_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "folder", lambda: tmp_path)
    lacking = packs.missing(languages("zh-Hant+ru"))
    assert lacking is not None
    assert "apt install tesseract-ocr-chi-tra tesseract-ocr-rus" in lacking.hint


@pytest.mark.parametrize(
    ("halves", "whole"),
    [
        ("\u0e2a\u0e4d\u0e32", "\u0e2a\u0e33"),  # sa + ring + aa
        ("\u0e19\u0e49\u0e4d\u0e32", "\u0e19\u0e49\u0e33"),  # na + tone + ring + aa
        ("\u0e19\u0e49\u0e49\u0e32", "\u0e19\u0e49\u0e33"),  # the ring taken for a second tone
        ("\u0e17\u0e48\u0e32", "\u0e17\u0e48\u0e32"),  # a tone alone stays
        ("e\u0301", "\u00e9"),
        (
            "\u0645\u0639, \u0644\u0627; \u0647\u0644?",
            "\u0645\u0639\u060c \u0644\u0627\u061b \u0647\u0644\u061f",
        ),
        ("1,250 a, b?", "1,250 a, b?"),
    ],
)
async def test_letters_are_those_of_their_script(halves: str, whole: str) -> None:
    assert composed(halves) == whole
