"""Lines as Tesseract reads them, cut out of a page by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrd.engine.rapid.crops import Crop, cut
from ocrd.engine.tesseract.recogniser import TesseractRecogniser
from tests.support.needs import needs
from tests.support.scripts import CJK, KOREAN, NOTO

pytestmark = needs("tesseract", "tesseract-languages", "fonts")
THAI, THAI_SERIF = NOTO / "NotoSansThai-Regular.ttf", NOTO / "NotoSerifThai-Regular.ttf"
SERIF = CJK.with_name("NotoSerifCJK-Regular.ttc")


def drawn(line: str, font: ImageFont.FreeTypeFont, language: str) -> Crop:
    """A line alone, black on white."""
    room = 8
    left, top, right, bottom = font.getbbox(line, language=language)
    size = round(right - left + 2 * room), round(bottom - top + 2 * room)
    page = Image.new("RGB", size, "white")
    ImageDraw.Draw(page).text((room - left, room - top), line, "black", font, language=language)
    corners = ((0, 0), (page.width, 0), (page.width, page.height), (0, page.height))
    return cut(np.asarray(page)[:, :, ::-1], corners)


@pytest.mark.parametrize("pixels", [28, 46])
@pytest.mark.parametrize(
    ("language", "font", "line"),
    [
        ("th", THAI, "ในอาคารใหม่จะมีห้องสมุด ห้องอ่านหนังสือ และห้องคอมพิวเตอร์"),
        ("th", THAI_SERIF, "คำถามมีไม่มากนัก แต่เรื่องการเก็บขยะยังมีความเห็นต่างกัน"),
        ("ko", SERIF, "다음으로 도서관 확장 계획이 소개되었습니다."),
        ("ko", CJK, "회의는 오후 7시 30분에 시작하여 두 시간쯤 이어졌습니다."),
    ],
)
def test_spaces_are_where_they_are_printed(
    language: str, font: Path, line: str, pixels: int
) -> None:
    index = KOREAN if language == "ko" else 0
    crop = drawn(line, ImageFont.truetype(font, pixels, index=index), language)
    (part,) = TesseractRecogniser(language).lines([crop])
    assert part.text.count(" ") == line.count(" ")
    assert part.text.split() == line.split()
    assert [part.text[word.first : word.last] for word in part.words] == part.text.split()
