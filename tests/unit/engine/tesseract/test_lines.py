"""Lines as Tesseract reads them, cut out of a page by hand."""

from __future__ import annotations

import functools
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps
from rapidfuzz.distance import Levenshtein

from ocrd.engine.rapid.crops import Crop, cut
from ocrd.engine.rapid.reader import PageReader, load
from ocrd.engine.rapid.recogniser import RapidRecogniser
from ocrd.engine.tesseract.latin import SURE
from ocrd.engine.tesseract.library import Seen
from ocrd.engine.tesseract.recogniser import TesseractRecogniser
from ocrd.engine.tesseract.tidy import tidied
from ocrd.engine.tesseract.words import Said, in_order, numbered
from ocrd.page import PageImage
from tests.support.needs import few, needs
from tests.support.scripts import CJK, DEJAVU, KOREAN, NOTO

pytestmark = needs("tesseract", "tesseract-languages", "fonts")
THAI, THAI_SERIF = NOTO / "NotoSansThai-Regular.ttf", NOTO / "NotoSerifThai-Regular.ttf"
SANS = DEJAVU / "DejaVuSans.ttf"
SERIF = CJK.with_name("NotoSerifCJK-Regular.ttc")


@pytest.fixture(scope="module")
def recogniser() -> RapidRecogniser:
    return RapidRecogniser(load(1))


@functools.cache
def tesseract(language: str, latin: RapidRecogniser | None = None) -> TesseractRecogniser:
    """A reader; its model is loaded once for all tests."""
    return TesseractRecogniser(language, latin)


def drawn(line: str, font: ImageFont.FreeTypeFont, language: str) -> Crop:
    return whole(scanned(line, font, language))


def scanned(line: str, font: ImageFont.FreeTypeFont, language: str, room: int = 8) -> Image.Image:
    """A line alone, black on white."""
    left, top, right, bottom = font.getbbox(line, language=language)
    size = round(right - left + 2 * room), round(bottom - top + 2 * room)
    page = Image.new("RGB", size, "white")
    ImageDraw.Draw(page).text((room - left, room - top), line, "black", font, language=language)
    return page


def whole(page: Image.Image) -> Crop:
    """All of a picture as one line."""
    corners = ((0, 0), (page.width, 0), (page.width, page.height), (0, page.height))
    return cut(np.asarray(page)[:, :, ::-1], corners)


@pytest.mark.parametrize("said", ["46", "787.24", "Сума", "514.16", "12.03.2026", "Разом"])
@pytest.mark.parametrize("sides", ["left", "right", "left right", "above below"])
def test_the_rules_around_a_cell_are_not_read(said: str, sides: str) -> None:
    page = scanned(said, ImageFont.truetype(SANS, 28), "uk", room=12)
    draw = ImageDraw.Draw(page)
    right, bottom = page.width - 3, page.height - 4
    rules = {
        "left": (1, 0, 1, page.height),
        "right": (right, 0, right, page.height),
        "above": (0, 3, page.width, 3),
        "below": (0, bottom, page.width, bottom),
    }
    for side in sides.split():
        draw.line(rules[side], (110, 110, 110), 2)
    (part,) = tesseract("uk").lines([whole(page)])
    assert part.text == said
    assert part.score > SURE


@pytest.mark.parametrize(
    ("language", "font", "line"),
    [
        ("th", THAI, "ไปใบไม้"),
        ("ko", CJK, "미리 이비"),
        ("ru", SANS, "ЙОД ЁЛКА"),
    ],
)
def test_a_picture_cut_at_its_ink_keeps_its_letters(
    recogniser: RapidRecogniser, language: str, font: Path, line: str
) -> None:
    type_ = ImageFont.truetype(font, 40, index=KOREAN if language == "ko" else 0)
    loose = ImageOps.expand(scanned(line, type_, language), 4, "white")
    page = loose.crop((0, 12, loose.width, loose.height - 12))
    reader = PageReader(load(1), tesseract(language, recogniser))
    read = reader.read(PageImage(page.width, page.height, page.tobytes()))
    assert " ".join(piece.line.text for piece in read.pieces) == line


@pytest.mark.parametrize("size", [28, 36])
@pytest.mark.parametrize("said", ["ЇЖАК", "ІПН", "її"])
def test_clean_print_is_left_as_it_is(said: str, size: int) -> None:
    page = scanned(said, ImageFont.truetype(SANS, size), "uk")
    grey = np.asarray(page.convert("L"))
    assert np.array_equal(tidied(grey), grey)


@pytest.mark.parametrize(
    ("language", "font", "line"),
    [
        ("ar", SANS, "لا يمكن استخدام هذه الصفحة على هذا الجهاز من غير حساب"),
        ("he", SANS, "הדפים שבהם ביקרת נשמרים ברשימה כדי שאפשר יהיה לחפש"),
        ("ko", CJK, "회의는 오후 7시 30분에 시작하여 두 시간쯤 이어졌습니다."),
        ("th", THAI, "ในอาคารใหม่จะมีห้องสมุด ห้องอ่านหนังสือ และห้องคอมพิวเตอร์"),
        ("el", SANS, "Σήμερα ανακοινώνεται ότι η βιβλιοθήκη ανοίγει στις 9."),
    ],
)
@pytest.mark.parametrize("seed", few([1, 2]))
def test_the_grain_of_a_scan_costs_no_letters(
    language: str, font: Path, line: str, seed: int
) -> None:
    index = KOREAN if language == "ko" else 0
    page = scanned(line, ImageFont.truetype(font, 36, index=index), language)
    noise = np.random.default_rng(seed).normal(0, 16, (page.height, page.width, 1))
    page = Image.fromarray((np.asarray(page) * 0.75 + 30 + noise).clip(0, 255).astype(np.uint8))
    recogniser = tesseract(language)
    (part,) = recogniser.lines([whole(ImageOps.mirror(page) if recogniser.mirrored else page)])
    letters, read = "".join(line.split()), "".join(part.text.split())
    assert Levenshtein.distance(letters, read) <= 0.02 * len(letters)


@pytest.mark.parametrize("pixels", [28, 46])
@pytest.mark.parametrize(
    ("language", "font", "line"),
    few(
        [
            ("th", THAI, "ในอาคารใหม่จะมีห้องสมุด ห้องอ่านหนังสือ และห้องคอมพิวเตอร์"),
            ("th", THAI_SERIF, "คำถามมีไม่มากนัก แต่เรื่องการเก็บขยะยังมีความเห็นต่างกัน"),
            ("ko", SERIF, "다음으로 도서관 확장 계획이 소개되었습니다."),
            ("ko", CJK, "회의는 오후 7시 30분에 시작하여 두 시간쯤 이어졌습니다."),
        ]
    ),
)
def test_spaces_are_where_they_are_printed(
    language: str, font: Path, line: str, pixels: int
) -> None:
    index = KOREAN if language == "ko" else 0
    crop = drawn(line, ImageFont.truetype(font, pixels, index=index), language)
    (part,) = tesseract(language).lines([crop])
    assert part.text.count(" ") == line.count(" ")
    assert part.text.split() == line.split()
    assert [part.text[word.first : word.last] for word in part.words] == part.text.split()


@pytest.mark.parametrize(
    ("language", "font", "line"),
    few(
        [
            ("ru", SANS, "Оплата через Deutsche Bank, код DEUTDEFF."),
            ("ru", SANS, "The harbour office reminds all owners of small boats."),
            ("el", SANS, "Πληρωμή μέσω Deutsche Bank, κωδικός DEUTDEFF 48."),
            ("el", SANS, "Please send 2 copies to a member of the committee."),
            ("el", SANS, "Νοεμβρίου Το Νέο ΤΟΝ ΚΗΠΟ"),  # noqa: RUF001 - all of it Greek
            ("ru", SANS, "РАСЧЕТ НОС сон Ноябрь Сахар"),  # noqa: RUF001 - all of it Russian
            ("ko", CJK, "우리 회사는 Samsung Electronics와 함께 Python으로 만든 도구를 쓴다."),
            ("ko", SERIF, "문의는 library@example.kr 또는 전화 031-555-0142로 하면 됩니다."),
            ("ko", CJK, "It is on the table, as we said."),
            ("he", SANS, "החברה שלנו עובדת עם Deutsche Bank ומשתמשת בשפת Python לפיתוח."),
            ("he", SANS, "הטלפון הוא 0142 והכתובת info@example.co.il למשלוח דואר."),
            ("ar", SANS, "تعمل شركتنا مع Deutsche Bank وتستخدم لغة Python في التطوير."),
            ("ar", SANS, "Les bateaux doivent sortir de l'eau avant le mois de novembre."),
        ]
    ),
)
def test_latin_words_among_other_letters_are_read_in_their_order(
    recogniser: RapidRecogniser, language: str, font: Path, line: str
) -> None:
    crop = drawn(line, ImageFont.truetype(font, 30, index=KOREAN if font == SERIF else 0), language)
    reader = tesseract(language, recogniser)
    (part,) = reader.lines([crop.stretch(0, crop.width, mirrored=reader.mirrored)])
    assert part.text == line
    assert [part.text[word.first : word.last] for word in part.words] == line.split()
    across = [word.start for word in part.words]
    assert reader.mirrored or across == sorted(across)


TIGHT = [("a", 16, 36), ("b", 40, 60)]
APART = [("c", 80, 100), ("d", 122, 142), ("e", 164, 184)]


@pytest.mark.parametrize(
    ("seen", "read"),
    [
        ([*TIGHT, *APART], ["ab", "c", "d", "e"]),
        ([("a", 16, 36), ("b", 30, 60), *APART], ["a", "b", "c", "d", "e"]),  # misplaced
        (APART, ["c", "d", "e"]),
    ],
)
def test_a_space_far_narrower_than_the_others_tears_no_word(
    monkeypatch: pytest.MonkeyPatch, seen: list[tuple[str, int, int]], read: list[str]
) -> None:
    """Tesseract says a space before each; ink is 20 pixels wide, 4 or 20 apart."""
    page = np.full((40, 200, 3), 255, np.uint8)
    for start in (0, 24, 64, 106, 148):
        page[8:32, start : start + 20] = 0
    reader = tesseract("ko")
    told = [Seen(text, 1.0, left, right, parted=True) for text, left, right in seen]
    monkeypatch.setattr(reader, "_seen", lambda _: told)
    (part,) = reader.lines([cut(page, ((0, 0), (200, 0), (200, 40), (0, 40)))])
    assert part.text.split() == read


@pytest.mark.parametrize(
    ("language", "seen"),
    [
        ("ar", [("عقد", 1096, 1143), ("الزواج", 984, 1255), ("إلا", 939, 967)]),
        ("ar", [("عقد", 820, 1143), ("الزواج", 984, 1080), ("إلا", 939, 967)]),
        ("ko", [("하나", 100, 150), ("둘", 60, 240), ("셋", 260, 300)]),
        ("ko", [("하나", 100, 280), ("둘", 170, 240), ("셋", 260, 300)]),
    ],
)
def test_a_word_with_a_stroke_of_another_in_its_box_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch, language: str, seen: list[tuple[str, int, int]]
) -> None:
    page = np.full((64, 1300, 3), 255, np.uint8)
    page[16:48, 80:1200:8] = 0
    reader = tesseract(language)
    told = [Seen(text, 1.0, left, right, parted=True) for text, left, right in seen]
    monkeypatch.setattr(reader, "_seen", lambda _: told)
    (part,) = reader.lines([whole(Image.fromarray(page))])
    assert part.text.split() == [text for text, *_ in seen]
    ends = [(word.start, word.end) for word in part.words]
    assert all(before[1] <= after[0] for before, after in pairwise(ends))


@pytest.mark.parametrize("said", ["29", "7", "1.250,50"])
def test_a_number_that_tesseract_cannot_read_is_read(
    recogniser: RapidRecogniser, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    reader = tesseract("vi", recogniser)
    monkeypatch.setattr(reader, "_seen", lambda _: [])
    (part,) = reader.lines([drawn(said, ImageFont.truetype(SANS, 30), "vi")])
    assert part.text == said


@pytest.mark.parametrize("size", [28, 40])
def test_specks_are_no_dots(size: int) -> None:
    page = scanned("права", ImageFont.truetype(SANS, size), "uk", room=12)
    for x in (3, page.width // 2, page.width - 8):
        page.putpixel((x, page.height - 5), (0, 0, 0))
        page.putpixel((x, 5), (0, 0, 0))
    clean = np.asarray(scanned("права", ImageFont.truetype(SANS, size), "uk", room=12).convert("L"))
    assert np.array_equal(tidied(np.asarray(page.convert("L"))), clean)


@pytest.mark.parametrize("wide", [3, 5, 7])
@pytest.mark.parametrize("gap", [4, 6, 10])
def test_a_narrow_word_in_doubt_between_others_ends_no_page(
    recogniser: RapidRecogniser, monkeypatch: pytest.MonkeyPatch, wide: int, gap: int
) -> None:
    """To either side of it the widest gap that is near may be the same one."""
    page = np.full((48, 240, 3), 255, np.uint8)
    at = 100 + gap
    placed = [
        ("كلمة", 1.0, 0, 100),
        ("\u0661", 0.7, at, at + wide),
        ("كلمة", 1.0, at + wide + 3, 230),
    ]
    for _, _, start, end in placed:
        page[8:40, start:end] = 0
    reader = tesseract("ar", recogniser)
    told = [Seen(text, score, 256 - b, 256 - a, parted=True) for text, score, a, b in placed]
    monkeypatch.setattr(reader, "_seen", lambda _: told)
    ink = page[:, :, 0] == 0
    crop = Crop(pixels=page, ink=ink, inked=ink.any(axis=0), top=0.2, bottom=0.8)
    (part,) = reader.lines([crop])
    assert part.text.split() == [text for text, *_ in placed]


@pytest.mark.parametrize(
    ("seen", "read"),
    [
        ("א ב ג", "א ב ג"),
        ("א Bank Deutsche ב", "א Deutsche Bank ב"),
        ("א 11 Windows ב", "א Windows 11 ב"),
        ("א 12 15 ב", "א 12 15 ב"),  # numbers alone follow the line
        ("א 48 Bank Deutsche ב", "א Deutsche Bank 48 ב"),
        ("Bank Deutsche 48", "48 Deutsche Bank"),
        ("menu the from .light", "light from the menu."),
        ("א Bank ,Deutsche ב", "א Deutsche Bank, ב"),
        ("א Bank .Deutsche", "א Deutsche Bank."),
        ("done. is all", "all is done."),
    ],
)
def test_words_that_run_the_other_way_are_turned(seen: str, read: str) -> None:
    """As seen from the right, and as they are read."""
    words = [Said(text, n / 10, (n + 1) / 10, 1, 1) for n, text in enumerate(seen.split())]
    assert " ".join(word.text for word in in_order(words)) == read


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        (".your computer", "your computer."),
        ("your computer and the other one", "your computer and the other one"),
    ],
)
def test_latin_lines_of_a_page_read_from_the_right_have_their_place(
    recogniser: RapidRecogniser, shown: str, read: str
) -> None:
    """A line of right-to-left text that consists of Latin words has its full stop on the left."""
    page, ink = shown_by_side(shown)
    reader = PageReader(load(1), tesseract("he", recogniser))
    (piece,) = reader.read(PageImage(page.width, page.height, page.tobytes())).pieces
    assert piece.text == read
    assert piece.box.width == pytest.approx(ink, rel=0.1)


def test_latin_words_within_a_line_read_from_the_right_do_not_part_it(
    recogniser: RapidRecogniser,
) -> None:
    line = "החברה שלנו עובדת עם Deutsche Bank מאז 1998"
    page = ImageOps.expand(scanned(line, ImageFont.truetype(SANS, 30), "he"), 60, "white")
    reader = PageReader(load(1), tesseract("he", recogniser))
    pieces = reader.read(PageImage(page.width, page.height, page.tobytes())).pieces
    assert [piece.text for piece in pieces] == [line]


def shown_by_side(line: str) -> tuple[Image.Image, int]:
    """A line on a page, exactly as it looks, and its width."""
    page = scanned(line, ImageFont.truetype(SANS, 30), "en", room=0)
    return ImageOps.expand(page, 60, "white"), page.width


@pytest.mark.parametrize(
    ("language", "text", "letters", "kept"),
    [
        ("uk", "охоронялися", 0.98, True),
        ("el", "θεμέλιο", 0.98, True),
        ("ar", "تدخل،", 0.96, True),
        ("he", "עיניו", 0.97, True),
        ("hi", "मानव", 0.97, True),
        ("uk", "охоронялися", 0.9, False),
        ("ru", "ию@адогод.ехатре", 0.97, False),
        ("ru", "manual", 0.98, False),
        ("uk", "32г", 0.98, False),  # noqa: RUF001 - Cyrillic
        ("uk", "ої", 0.98, False),
    ],
)
def test_one_doubtful_letter_costs_no_word(
    monkeypatch: pytest.MonkeyPatch, language: str, text: str, letters: float, *, kept: bool
) -> None:
    reader = tesseract(language)
    page = np.full((48, 200, 3), 255, np.uint8)
    page[8:40, 20:180:8] = 0
    told = [Seen(text, 0.1, 36, 196, parted=True, letters=letters)]
    monkeypatch.setattr(reader, "_seen", lambda _: told)
    (part,) = reader.lines([whole(Image.fromarray(page))])
    assert part.text == text
    assert (part.score >= 0.5) is kept


def test_the_confidence_of_letters_is_told_beside_that_of_the_worst() -> None:
    line = "Оголошення про продаж вивішують біля входу"
    crop = drawn(line, ImageFont.truetype(SANS, 18), "uk")
    seen = tesseract("uk")._seen(crop.pixels)
    assert [word.text for word in seen] == line.split()
    assert all(word.score <= word.letters <= 1 for word in seen)
    assert any(word.score < word.letters for word in seen)


@pytest.mark.parametrize("language", ["ru", "el"])
@pytest.mark.parametrize("seed", few([1, 2]))
def test_dirt_and_texture_are_no_words(language: str, seed: int) -> None:
    """Lines cut out of blots, scratches and coarse texture."""
    rng = np.random.default_rng(seed)
    crops = []
    for count, radius in [(40, 2), (60, 4), (25, 7)]:
        page = Image.new("RGB", (500, 48), "white")
        draw = ImageDraw.Draw(page)
        for x, y, dx, dy in rng.integers((0, 0, -9, -9), (500, 48, 10, 10), (count, 4)):
            draw.line((x, y, x + dx, y + dy), "black", radius)
        crops.append(whole(page))
    coarse = np.kron(rng.integers(0, 2, (6, 60)), np.ones((8, 8))) * 255
    crops.append(whole(Image.fromarray(coarse.astype(np.uint8)).convert("RGB")))
    assert all(part.score < 0.5 for part in tesseract(language).lines(crops))


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("uk", "Оголошення про продаж вивішують біля входу"),
        ("he", "סירות שאין משתמשים בהן בחורף יש להוציא"),
    ],
)
def test_a_line_of_which_nothing_is_read_is_read_at_another_size(
    monkeypatch: pytest.MonkeyPatch, language: str, line: str
) -> None:
    reader = TesseractRecogniser(language)
    crop = drawn(line, ImageFont.truetype(SANS, 36), language)
    crop = crop.stretch(0, crop.width, mirrored=reader.mirrored)
    (before,) = reader.lines([crop])
    kept = reader._tesseract.line
    size = crop.height + 2 * 16
    monkeypatch.setattr(
        reader._tesseract,
        "line",
        lambda grey, width, height: [] if height == size else kept(grey, width, height),
    )
    (part,) = reader.lines([crop])
    assert part.text == before.text == line
    for now, then in zip(part.words, before.words, strict=True):
        assert now.start == pytest.approx(then.start, abs=0.01)
        assert now.end == pytest.approx(then.end, abs=0.01)


@pytest.mark.parametrize(
    ("seen", "read"),
    [
        ("Рахунок Ме 2036 від", "Рахунок № 2036 від"),  # noqa: RUF001 - Cyrillic
        ("під'їзд Мо 3,", "під'їзд № 3,"),  # noqa: RUF001 - Cyrillic
        ("Не 3, а 4", "Не 3, а 4"),  # noqa: RUF001 - Cyrillic
        ("Ме та", "Ме та"),  # noqa: RUF001 - Cyrillic
        ("8:30 -- 16:00", "8:30 – 16:00"),  # noqa: RUF001 - an en dash
        ("Ме", "Ме"),  # noqa: RUF001 - Cyrillic
        ("", ""),
    ],
)
def test_signs_that_a_model_does_not_know(seen: str, read: str) -> None:
    words = [Said(text, n / 10, (n + 1) / 10, 1, 1) for n, text in enumerate(seen.split())]
    assert " ".join(word.text for word in numbered(words)) == read


MODERN = [
    ("ἠρθε", "ήρθε"),
    ("ἴδια", "ίδια"),
    ("ὡς", "ως"),
    ("ἡ", "η"),
    ("ἐποχή", "εποχή"),
    ("τῆς", "τής"),
    ("è", "è"),
]
ANCIENT = "ἐν ἀρχῇ ἦν ὁ λόγος καὶ ὁ λόγος ἦν πρὸς τὸν θεόν"
TODAY = "η εποχή ήρθε και όλα είναι έτοιμα από σήμερα ως αύριο"


@pytest.mark.parametrize(("seen", "read"), MODERN)
def test_greek_is_told_as_it_is_written_today(
    monkeypatch: pytest.MonkeyPatch, seen: str, read: str
) -> None:
    assert said_of(monkeypatch, "el", f"{seen} {TODAY}") == f"{read} {TODAY}"


def test_greek_with_breathings_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_of(monkeypatch, "el", ANCIENT) == ANCIENT


def said_of(monkeypatch: pytest.MonkeyPatch, language: str, text: str) -> str:
    """What becomes of words that Tesseract has read."""
    reader = tesseract(language)
    page = np.full((48, 1300, 3), 255, np.uint8)
    told = [
        Seen(word, 1.0, 16 + 80 * n, 86 + 80 * n, parted=True)
        for n, word in enumerate(text.split())
    ]
    for word in told:
        page[8:40, word.left - 16 : word.right - 16] = 0
    monkeypatch.setattr(reader, "_seen", lambda _: told)
    (part,) = reader.lines([whole(Image.fromarray(page))])
    return part.text
