"""Makes the pages of `bench.accuracy`: laid out at random from a seed, with the truth about them.

Pages are drawn with PyMuPDF in fonts from Debian packages; all but the born-digital kinds are then
made to look scanned.  Their text, its order and the position of each word's ink are known because
they are drawn here.
"""

from __future__ import annotations

import io
import random
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
from PIL import Image, ImageFilter

from ocrd.page import Box
from tests.support.samples.degrade import grained, skew, specks
from tests.support.samples.lines import broken
from tests.support.samples.model import TrueWord

PAPER = (595.0, 842.0)
LEADING = 1.28
SHARE = Path("/usr/share/fonts")
LATIN = ("en", "en", "de", "fr", "es")
SCRIPTS = ("zh", "ja", "ru", "el", "ko")
PACKAGES = (
    "fonts-liberation2 fonts-ebgaramond fonts-lato fonts-ipafont-mincho fonts-wqy-microhei "
    "fonts-unfonts-core"
)
FACES = {  # regular, bold
    "serif": ("LiberationSerif-Regular.ttf", "LiberationSerif-Bold.ttf"),
    "sans": ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    "mono": ("LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf"),
    "garamond": ("EBGaramond12-Regular.otf", "EBGaramond12-Bold.otf"),
    "lato": ("Lato-Regular.ttf", "Lato-Bold.ttf"),
    "zh": ("wqy-microhei.ttc",) * 2,
    "ja": ("ipam.ttf",) * 2,
    "ko": ("UnBatang.ttf", "UnBatangBold.ttf"),
}
SCANS = ("clean", "skewed", "noisy", "jpeg", "bilevel", "coarse")
Cells = list[list[str]]


@dataclass(slots=True)
class TrueBlock:
    """A unit of text: a paragraph, a heading (`heading`), or a table (`rows`)."""

    text: str
    heading: bool = False
    rows: Cells = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TruePage:
    """A page and the truth about it."""

    name: str
    kind: str
    language: str
    data: bytes
    blocks: list[TrueBlock]
    words: list[TrueWord]

    @property
    def born(self) -> bool:
        """Whether its file is a PDF that has its own text."""
        return self.name.endswith(".pdf")


@cache
def _font(face: str, bold: bool) -> pymupdf.Font:
    name = FACES[face][bold]
    found = next(SHARE.rglob(name), None)
    if found is None:
        raise SystemExit(f"The font {name} is missing: apt install {PACKAGES}")
    return pymupdf.Font(fontfile=str(found))


@cache
def _vocabulary() -> dict[str, list[str]]:
    text = Path(__file__).with_name("accuracy_words.toml").read_text(encoding="utf-8")
    return {language: words.split() for language, words in tomllib.loads(text).items()}


class Draft:
    """A page being drawn; lengths are in points."""

    def __init__(self, rng: random.Random, language: str, size: tuple[float, float] = PAPER):
        self.rng, self.language = rng, language
        self.width, self.height = size
        self.wide = language in ("zh", "ja")
        self.face = (
            language if language in FACES else rng.choice(("serif", "sans", "garamond", "lato"))
        )
        if language in ("ru", "el"):
            self.face = rng.choice(("serif", "sans"))
        self.size = rng.choice((9.5, 10, 10.5, 11, 12))
        self.blocks: list[TrueBlock] = []
        self.document = pymupdf.open()
        self.page = self.document.new_page(width=self.width, height=self.height)
        self.placed: list[tuple[str, tuple[float, float, float, float]]] = []

    def measure(self, text: str, size: float = 0, bold: bool = False) -> float:
        return float(_font(self.face, bold).text_length(text, fontsize=size or self.size))

    def phrase(self, least: int, most: int = 0) -> str:
        """A few words, the first with a capital."""
        words = self.rng.randint(least, max(least, most))
        said = self.rng.choices(_vocabulary()[self.language], k=-(-words // (1 + self.wide)))
        text = ("" if self.wide else " ").join(said)
        return text[0].upper() + text[1:]

    def prose(self, least: int, most: int = 0) -> str:
        """A few sentences."""
        mark = "\u3002" if self.wide else "."
        count = self.rng.randint(least, max(least, most))
        said = [self.phrase(6, 16) + mark for _ in range(count)]
        return ("" if self.wide else " ").join(said)

    def money(self) -> str:
        return f"{self.rng.randint(1, 1500)}.{self.rng.randint(0, 99):02d}"

    def put(
        self,
        text: str,
        x: float,
        y: float,
        *,
        size: float = 0,
        bold: bool = False,
        anchor: float = 0,
        space: float = 0,
    ) -> None:
        """Draw a line with its baseline at y.

        `anchor` says what is at x: the left end (0), the middle (0.5) or the right end (1).
        """
        size = size or self.size
        font, blank = _font(self.face, bold), space or self.measure(" ", size, bold)
        x -= anchor * self.measure(text, size, bold)
        writer = pymupdf.TextWriter(self.page.rect)
        for word in text.split(" "):
            if word:
                length = self.measure(word, size, bold)
                writer.append((x, y), word, font=font, fontsize=size)
                self.placed.append((word, (x, y - 0.95 * size, x + length, y + 0.3 * size)))
                x += length
            x += blank
        writer.write_text(self.page)

    def heading(self, text: str, x: float, y: float, **look: Any) -> float:
        return self.lines([text], x, y, heading=True, **look)

    def lines(
        self, lines: Sequence[str], x: float, y: float, *, heading: bool = False, **look: Any
    ) -> float:
        """Draw a block with these line breaks; `look` goes to `put`.  Returns the next baseline."""
        self.blocks.append(TrueBlock("\n".join(lines), heading=heading))
        for line in lines:
            self.put(line, x, y, **look)
            y += LEADING * (look.get("size") or self.size)
        return y

    def paragraph(
        self,
        text: str,
        x: float,
        y: float,
        width: float,
        *,
        indent: float = 0,
        size: float = 0,
        justify: bool = False,
    ) -> float:
        self.blocks.append(TrueBlock(text))
        size = size or self.size
        lines = broken(text, width - indent, lambda part: self.measure(part, size))
        for number, line in enumerate(lines):
            first = indent if number == 0 else 0
            gaps = line.count(" ")
            space = self.measure(" ", size)
            if justify and gaps and number < len(lines) - 1:
                space += (width - first - self.measure(line, size)) / gaps
            self.put(line, x + first, y, size=size, space=space)
            y += LEADING * size
        return y

    def table(
        self,
        rows: Cells,
        lefts: Sequence[float],
        right: float,
        y: float,
        *,
        rules: str = "",
        figures: Sequence[bool] = (),
        pitch: float = 1.5,
    ) -> float:
        """Draw a table; figures are right-aligned in their column.  Returns the y below it.

        Args:
            rows: A newline breaks a cell's text.
            lefts: The left edges of the columns.
            right: The right edge of the last column.
            y: The top.
            rules: `grid`, `level` (above, below and under the head) or empty for none.
            figures: Which columns have figures.
            pitch: Row height in font sizes.
        """
        plain = [[cell.replace("\n", " ") for cell in row] for row in rows]
        self.blocks.append(TrueBlock("", rows=plain))
        edges, tops = [*lefts, right], [y]
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                end = column < len(figures) and figures[column]
                at = edges[column + 1] - 4 if end else edges[column] + 4
                base = tops[-1] + (pitch / 2 + 0.35) * self.size
                for line in cell.split("\n"):
                    self.put(line, at, base, anchor=float(end), bold=number == 0 and bool(rules))
                    base += LEADING * self.size
            more = max(cell.count("\n") for cell in row)
            tops.append(tops[-1] + (pitch + LEADING * more) * self.size)
        level = {"grid": tops, "level": [tops[0], tops[1], tops[-1]]}.get(rules, [])
        for top in level:
            self.rule(edges[0], top, right, top)
        for edge in edges if rules == "grid" else ():
            self.rule(edge, y, edge, tops[-1])
        return tops[-1] + pitch * self.size

    def rule(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.page.draw_line((x1, y1), (x2, y2), width=0.6)


def prose(draft: Draft) -> None:
    """A page of a book."""
    left, right = 80, draft.width - 80
    if draft.rng.random() < 0.5:
        head = draft.phrase(3)
        draft.lines([head], draft.width / 2, 50, anchor=0.5, size=draft.size - 1)
    if draft.rng.random() < 0.25:  # what the scan shows of the facing page
        strip = [draft.phrase(1)[-4:] for _ in range(40)]
        draft.lines(strip, 45, 90, anchor=1)
    y = 90.0
    if draft.rng.random() < 0.4:
        said, size = draft.phrase(3), draft.size * 1.7
        y = draft.heading(said, draft.width / 2, y + 30, size=size, anchor=0.5) + 20
    while y < draft.height - 170:
        y = draft.paragraph(draft.prose(2, 6), left, y, right - left, indent=15, justify=True)
    draft.lines([str(draft.rng.randint(2, 400))], draft.width / 2, draft.height - 50, anchor=0.5)


def _columns(draft: Draft, count: int, gutter: float) -> None:
    left, right, y = 45.0, draft.width - 45, 70.0
    if draft.rng.random() < 0.7:
        y = draft.heading(draft.phrase(4), draft.width / 2, y, size=20, bold=True, anchor=0.5) + 15
    width = (right - left - gutter * (count - 1)) / count
    justify = draft.rng.random() < 0.6
    for column in range(count):
        x, at = left + column * (width + gutter), y
        end = draft.height - draft.rng.choice((60, 60, 250))
        while at < end - 60:
            if draft.rng.random() < 0.2:
                at = draft.heading(draft.phrase(2), x, at + 6, bold=True, size=draft.size + 1) + 2
            text = draft.prose(1, 3)
            at = draft.paragraph(text, x, at, width, justify=justify) + draft.rng.choice((0, 4))


def two_columns(draft: Draft) -> None:
    """An article."""
    draft.size = draft.rng.choice((8.5, 9, 10))
    _columns(draft, 2, draft.rng.uniform(12, 28))


def three_columns(draft: Draft) -> None:
    """A newspaper, its gutters narrow."""
    draft.size = draft.rng.choice((7.5, 8, 8.5))
    _columns(draft, 3, draft.rng.uniform(8, 16))


def letter(draft: Draft) -> None:
    """Sender, address, date, subject and text."""
    left, width = 70.0, draft.width - 140
    y = draft.lines([draft.phrase(2) for _ in range(3)], draft.width - 70, 60, anchor=1)
    y = draft.lines([draft.phrase(2) for _ in range(draft.rng.randint(3, 5))], left, y + 30)
    draft.lines([f"{draft.rng.randint(1, 28)}.5.2026"], draft.width - 70, y + 20, anchor=1)
    y = draft.heading(draft.phrase(5), left, y + 50, bold=True) + 12
    for _ in range(draft.rng.randint(2, 5)):
        y = draft.paragraph(draft.prose(2, 4), left, y, width) + 8
    draft.lines([draft.phrase(2)], left, y + 40)


def report(draft: Draft) -> None:
    """Headings that are numbered, bold, centred or in capitals, none much larger than the text."""
    left, width, y = 70.0, draft.width - 140, 80.0
    style, number = draft.rng.choice(("numbered", "bold", "centred", "capitals", "larger")), 1
    while y < draft.height - 200:
        said = draft.phrase(2, 5)
        y += draft.size * 1.2
        if style == "numbered":
            y = draft.heading(f"{number}. {said}", left, y, bold=True)
        elif style == "centred":
            y = draft.heading(said, draft.width / 2, y, bold=True, anchor=0.5)
        elif style == "larger":
            y = draft.heading(said, left, y, size=draft.size * 1.3)
        else:
            said = said.upper() if style == "capitals" else said
            y = draft.heading(said, left, y, bold=style == "bold")
        y, number = y + 4, number + 1
        for _ in range(draft.rng.randint(1, 3)):
            y = draft.paragraph(draft.prose(2, 4), left, y, width) + 6


def notice(draft: Draft) -> None:
    """Large print under a title: text, not headings."""
    y = draft.heading(draft.phrase(2), draft.width / 2, 100, size=34, bold=True, anchor=0.5) + 20
    for _ in range(draft.rng.randint(2, 4)):
        y = draft.paragraph(draft.prose(1, 2), 70, y, draft.width - 140, size=20) + 18


def receipt(draft: Draft) -> None:
    """A till receipt."""
    draft.face, draft.size, middle = draft.rng.choice(("mono", "sans")), 9, draft.width / 2
    y = draft.heading(draft.phrase(2), middle, 40, size=15, bold=True, anchor=0.5)
    y = draft.lines([draft.phrase(2), draft.phrase(2)], middle, y, anchor=0.5) + 10
    items = [[draft.phrase(2)[:20].strip(), draft.money()] for _ in range(draft.rng.randint(4, 12))]
    for item in items:
        draft.blocks.append(TrueBlock(" ".join(item)))
        draft.put(item[0], 15, y)
        draft.put(item[1], draft.width - 15, y, anchor=1)
        y += 12
    total = draft.money()
    draft.blocks.append(TrueBlock(f"TOTAL {total}"))
    draft.put("TOTAL", 15, y + 10, size=13, bold=True)
    draft.put(total, draft.width - 15, y + 10, size=13, bold=True, anchor=1)
    draft.lines([draft.phrase(3)], middle, draft.height - 25, anchor=0.5)


def form(draft: Draft) -> None:
    """Labels with filled-in values, in boxes or on lines."""
    y, boxed = draft.heading(draft.phrase(3), 60, 70, size=16, bold=True) + 20, draft.rng.random()
    while y < draft.height - 120:
        for x in (60.0, draft.width / 2 + 10):
            label, value = draft.phrase(1, 2), draft.phrase(1, 2)
            draft.blocks += [TrueBlock(label), TrueBlock(value)]
            draft.put(label, x + 3, y, size=7.5)
            draft.put(value, x + 6, y + 16)
            right = x + draft.width / 2 - 70
            draft.page.draw_rect((x, y - 10 if boxed < 0.5 else y + 21, right, y + 21), width=0.6)
        y += 48


def invoice(draft: Draft) -> None:
    """An address beside reference data, a table of items, their total, and text."""
    draft.size, right = draft.rng.choice((9, 9.5, 10)), draft.width - 50
    y = draft.heading(draft.phrase(2), 60, 60, size=18, bold=True)
    top = draft.lines([draft.phrase(2) for _ in range(4)], 60, y + 50)
    facts = [[draft.phrase(1), f"K-{draft.rng.randint(100, 99999)}"] for _ in range(4)]
    draft.table(facts, (350, 450), right, y + 40, pitch=LEADING)
    y = draft.heading(draft.phrase(1), 60, top + 30, size=15, bold=True) + 6
    items = [["No", *(draft.phrase(1) for _ in range(4))]]
    for number in range(1, draft.rng.randint(3, 11)):
        amounts = [str(draft.rng.randint(1, 40)), draft.money(), draft.money()]
        items.append([str(number), draft.phrase(1, 3), *amounts])
    rules, figures = draft.rng.choice(("grid", "level", "")), (False, False, True, True, True)
    lefts = (60, 90, 310, 370, 450)
    y = draft.table(items, lefts, right, y, figures=figures, rules=rules, pitch=1.7)
    draft.lines([f"{draft.phrase(1)} {draft.money()}"], right - 4, y, anchor=1)
    draft.paragraph(draft.prose(2), 60, y + 40, draft.width - 120)


def _tabled(draft: Draft, rules: str) -> None:
    left, width = 60.0, draft.width - 120
    y = draft.paragraph(draft.prose(3), left, 80, width) + 14
    for _ in range(draft.rng.randint(1, 2)):
        count, rows = draft.rng.randint(2, 5), draft.rng.choice((2, 3, 5, 8, 12))
        wrapped = draft.rng.choice((0, 0, 0.4))
        cells = [[draft.phrase(1) for _ in range(count)]]
        for _ in range(rows - 1):
            cells.append([draft.phrase(1, 2), *(draft.money() for _ in range(count - 1))])
        step = width / (count + 1)
        lefts = [left, *(left + step * (n + 1) for n in range(1, count))]
        for row in cells[1:]:
            if draft.rng.random() < wrapped:
                row[0] += f"\n{draft.phrase(1)}"
        figures = [False, *[draft.rng.random() < 0.7] * (count - 1)]
        pitch = draft.rng.uniform(1.3, 2)
        y = draft.table(cells, lefts, left + width, y, rules=rules, figures=figures, pitch=pitch)
        y = draft.paragraph(draft.prose(2), left, y + 8, width) + 14


def ruled(draft: Draft) -> None:
    """Tables with rules between prose."""
    _tabled(draft, "grid")


def unruled(draft: Draft) -> None:
    """Tables without vertical rules, with or without level ones."""
    _tabled(draft, draft.rng.choice(("level", "")))


def sparse(draft: Draft) -> None:
    """A line or two on white paper."""
    draft.size, y = draft.rng.choice((8, 10, 12)), draft.rng.uniform(80, 350)
    for _ in range(draft.rng.randint(1, 2)):
        draft.lines([draft.phrase(2, 9)], draft.rng.uniform(50, 250), y)
        y += draft.rng.uniform(40, 400)


KINDS: dict[str, Callable[[Draft], None]] = {
    "receipt": receipt, "form": form, "letter": letter, "invoice": invoice, "book": prose,
    "two-columns": two_columns, "three-columns": three_columns, "report": report, "notice": notice,
    "ruled": ruled, "unruled": unruled, "sparse": sparse, "script": letter, "born": report,
    "born-table": unruled,
}  # fmt: skip


def make(kind: str, number: int, seed: int = 0) -> TruePage:
    """One page; the same for the same arguments."""
    rng = random.Random(f"{seed}/{kind}/{number}")
    language = SCRIPTS[number % len(SCRIPTS)] if kind == "script" else rng.choice(LATIN)
    draft = Draft(rng, language, (220, 420) if kind == "receipt" else PAPER)
    KINDS[kind](draft)
    scan = SCANS[(number + list(KINDS).index(kind)) % len(SCANS)]
    if kind == "script":
        scan = "clean"
    if kind == "sparse":
        scan = ("clean", "bilevel", "noisy")[number % 3]
    name = f"{kind}-{number:03d}-{language}-{scan}"
    if kind.startswith("born"):
        words = [TrueWord(word, _fraction(box, draft)) for word, box in draft.placed]
        data = draft.document.tobytes(no_new_id=True)
        return TruePage(f"{name}.pdf", kind, language, data, draft.blocks, words)
    data, suffix, words = _scanned(draft, scan, rng)
    return TruePage(name + suffix, kind, language, data, draft.blocks, words)


def _fraction(box: tuple[float, float, float, float], draft: Draft) -> Box:
    x1, y1, x2, y2 = box
    return Box(x1 / draft.width, y1 / draft.height, x2 / draft.width, y2 / draft.height)


def _scanned(draft: Draft, scan: str, rng: random.Random) -> tuple[bytes, str, list[TrueWord]]:
    """The file as a scanner would write it, its suffix, and the words with boxes of their ink."""
    dpi = {"coarse": 110, "bilevel": 300}.get(scan, 200)
    drawn = draft.page.get_pixmap(dpi=dpi, colorspace=pymupdf.csGRAY)
    clean = Image.frombytes("L", (drawn.width, drawn.height), drawn.samples)
    words = [TrueWord(word, _inked(clean, _fraction(box, draft))) for word, box in draft.placed]
    askew = rng.choice((-1, 1)) * rng.uniform(0.5, 3) if scan == "skewed" else 0.0
    laid = skew(askew or rng.uniform(-0.3, 0.3), clean.size)
    image = laid.draw(clean.point(lambda value: 25 + value * 220 // 255), clean.size, 245)
    words = [TrueWord(word.text, laid.box(word.box)) for word in words]
    if scan == "bilevel":
        bitonal = image.point(lambda value: 255 * (value > 150)).convert("1")
        return *_file(bitonal, dpi, "TIFF", compression="group4"), words
    if scan == "noisy":
        specks(image, image.width * image.height // 20_000, rng)
        image = grained(image.filter(ImageFilter.GaussianBlur(0.8)), 70, rng)
    if scan == "clean":
        return *_file(image, dpi, "PNG"), words
    return *_file(image, dpi, "JPEG", quality=25 if scan == "jpeg" else 75), words


def _file(image: Image.Image, dpi: int, form: str, **options: object) -> tuple[bytes, str]:
    data = io.BytesIO()
    image.save(data, form, dpi=(dpi, dpi), **options)
    return data.getvalue(), {"TIFF": ".tif", "PNG": ".png", "JPEG": ".jpg"}[form]


def _inked(image: Image.Image, box: Box) -> Box:
    """The part of a word's box that has ink; letters exceed their boxes by a pixel at most."""
    width, height = image.size
    left, top = int(box.x1 * width), int(box.y1 * height)
    right, bottom = int(np.ceil(box.x2 * width)), int(np.ceil(box.y2 * height))
    ink = np.asarray(image.crop((left, top, right, bottom))) < 160
    across, down = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    if not len(across):
        return box
    start = Box((left + across[0]) / width, (top + down[0]) / height, 0, 0)
    return replace(start, x2=(left + across[-1] + 1) / width, y2=(top + down[-1] + 1) / height)


def every(pages: int, kinds: Sequence[str], seed: int = 0) -> list[TruePage]:
    """`pages` pages, evenly spread over the kinds."""
    numbers = [(kind, number) for number in range(-(-pages // len(kinds))) for kind in kinds]
    return [make(kind, number, seed) for kind, number in numbers[:pages]]
