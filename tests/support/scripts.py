"""Pages of known text in many scripts, drawn with the system's fonts.

The packages `fonts-noto-core`, `fonts-noto-cjk` and `fonts-dejavu-core` provide the fonts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ocrd.page import PageImage
from tests.support.needs import need

FONTS = Path("/usr/share/fonts")
NOTO, DEJAVU = FONTS / "truetype/noto", FONTS / "truetype/dejavu"
CJK = FONTS / "opentype/noto/NotoSansCJK-Regular.ttc"
KOREAN = 1  # index of the font in that file


@dataclass(frozen=True)
class Print:
    """Some lines in a language.

    Attributes:
        language: Its code, as in a folder's `language`.
        font: The font's file.
        lines: The lines, drawn one below the other.
        right_to_left: Whether the lines start at the right margin.
    """

    language: str
    font: Path
    lines: tuple[str, ...]
    right_to_left: bool = False

    @property
    def text(self) -> str:
        """The lines, joined by newlines."""
        return "\n".join(self.lines)

    def drawn(self, *, points: float = 11, dpi: int = 200) -> PageImage:
        """The lines in black on a white page of 170 x 60 mm."""
        need("fonts")
        size = round(points * dpi / 72)
        index = KOREAN if self.font.suffix == ".ttc" else 0
        font = ImageFont.truetype(self.font, size, index=index)
        page = Image.new("RGB", (round(170 / 25.4 * dpi), round(60 / 25.4 * dpi)), "white")
        draw, margin = ImageDraw.Draw(page), dpi // 2
        for number, line in enumerate(self.lines):
            x, anchor = (page.width - margin, "ra") if self.right_to_left else (margin, "la")
            y = margin // 2 + round(number * size * 1.7)
            draw.text((x, y), line, "black", font, anchor, language=self.language)
        return page_of(page)


def page_of(image: Image.Image) -> PageImage:
    """An image as the daemon passes it to an engine."""
    return PageImage(image.width, image.height, image.convert("RGB").tobytes())


UNKNOWN = (  # in scripts that RapidOCR's model was not trained on
    Print(
        "ru",
        NOTO / "NotoSerif-Regular.ttf",
        (
            "Начальник гавани напоминает всем владельцам небольших",
            "лодок, что канаты, оставленные на причале, будут убраны",
            "в понедельник. Контора открыта с 9 до 12.",
        ),
    ),
    Print(
        "uk",
        DEJAVU / "DejaVuSans.ttf",
        (
            "Оголошення про продаж вивішують біля входу; щит",
            "стоїть під дахом, тому папір лишається сухим.",
            "У жовтні підіймальний кран працює безкоштовно.",
        ),
    ),
    Print(
        "el",
        NOTO / "NotoSans-Regular.ttf",
        (
            "Τα σκάφη που δεν χρησιμοποιούνται τον χειμώνα πρέπει",
            "να βγουν από το νερό πριν από την πρώτη Νοεμβρίου.",
            "Τον Οκτώβριο ο γερανός είναι δωρεάν.",
        ),
    ),
    Print(
        "ko",
        CJK,
        (
            "겨울에 쓰지 않는 배는 십일월 첫째 날 전에 물에서 꺼내야 합니다.",
            "시월에는 기중기를 무료로 쓸 수 있습니다.",
            "34명이 이틀 동안 일하여 쓰레기 12톤을 실어 냈습니다.",
        ),
    ),
    Print(
        "ar",
        NOTO / "NotoNaskhArabic-Regular.ttf",
        (
            "يجب إخراج القوارب التي لا تستعمل في الشتاء من الماء قبل أول نوفمبر.",
            "وفي شهر أكتوبر يكون استعمال الرافعة مجانا.",
            "تعلق إعلانات البيع بجانب المدخل تحت السقف فيبقى الورق جافا.",
        ),
        right_to_left=True,
    ),
    Print(
        "he",
        DEJAVU / "DejaVuSans.ttf",
        (
            "סירות שאין משתמשים בהן בחורף יש להוציא מן המים",
            "לפני הראשון בנובמבר. מודעות מכירה נתלות ליד הכניסה.",
            "34 אנשים עבדו יומיים ופינו 12 טונות של פסולת.",
        ),
        right_to_left=True,
    ),
    Print(
        "hi",
        NOTO / "NotoSerifDevanagari-Regular.ttf",
        (
            "जो नावें सर्दियों में काम नहीं आतीं, उन्हें पहली नवंबर से पहले",
            "पानी से निकाल लेना चाहिए। अक्टूबर में क्रेन का उपयोग मुफ्त है।",
            "बिक्री की सूचनाएँ दरवाजे के पास लगाई जाती हैं।",
        ),
    ),
    Print(
        "th",
        NOTO / "NotoSansThai-Regular.ttf",
        (
            "เรือที่ไม่ได้ใช้ในฤดูหนาวต้องนำขึ้นจากน้ำก่อนวันที่หนึ่งพฤศจิกายน",
            "ในเดือนตุลาคมใช้ปั้นจั่นได้โดยไม่เสียค่าใช้จ่าย",
            "เราขอขอบคุณทุกคนที่ช่วยทำความสะอาดชายหาดหลังพายุ",
        ),
    ),
)
VIETNAMESE = Print(
    "vi",
    NOTO / "NotoSerif-Regular.ttf",
    (
        "Những chiếc thuyền không dùng vào mùa đông phải được kéo",
        "lên khỏi mặt nước trước ngày mồng một tháng Mười một.",
        "Trong tháng Mười, cần cẩu được sử dụng miễn phí.",
    ),
)
TURKISH = Print(
    "tr",
    NOTO / "NotoSans-Regular.ttf",
    (
        "Kışın kullanılmayan tekneler kasım ayının birinden önce sudan",
        "çıkarılmalıdır. Satış ilanları girişin yanına asılır; pano çatının",
        "altında olduğu için kâğıt ıslanmaz. Iğdır'dan gemi geldi.",
    ),
)
