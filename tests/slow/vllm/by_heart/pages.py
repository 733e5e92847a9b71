"""The pages that the small model knows: what is printed on each, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from ocrd.modes import BUILT_IN_MODES
from tests.support.samples.make import scan_of

TARGET = "the total"
WIDTH, HEIGHT, DPI = 200, 110, 72  # points are pixels: a view of 512 enlarges them


@dataclass(frozen=True, kw_only=True)
class Known:
    """A page and the model's answer.

    Attributes:
        name: A file name without its ending.
        mode: The prompt mode in which the model has learnt it.
        resolution: Likewise.
        printed: What the page shows; a blank line parts paragraphs.
        answer: What the model says, tags included, up to its end token.
        side: How many times the usual size the page has.
    """

    name: str
    mode: str
    resolution: str
    printed: str
    answer: str
    side: int = 1

    @property
    def prompt(self) -> str:
        """What the model is asked, as the published code writes it."""
        return "<image>\n" + BUILT_IN_MODES[self.mode].prompt.format(target=TARGET)

    @property
    def seed(self) -> int:
        return NAMES.index(self.name)

    def scan(self) -> bytes:
        """The page as a JPEG."""
        width, height, size = WIDTH * self.side, HEIGHT * self.side, 12 * self.side
        drawn = scan_of(
            self.printed, width=width, height=height, size=size, dpi=DPI, seed=self.seed
        )
        return drawn.data


def piece(label: str, box: tuple[int, int, int, int]) -> str:
    """A layout label or a text with its place in thousandths of the page, as the model says it."""
    return f"<|ref|>{label}<|/ref|><|det|>[{list(box)}]<|/det|>"


def plain(name: str, resolution: str, text: str) -> Known:
    return Known(name=name, mode="ocr", resolution=resolution, printed=text, answer=text)


def letter(name: str, resolution: str, title: str, text: str, side: int = 1) -> Known:
    answer = "\n".join(
        [
            piece("title", (60, 70, 610, 190)),
            f"# {title}",
            "",
            piece("text", (58, 260, 930, 640)),
            text,
        ]
    )
    printed = f"{title}\n\n{text}"
    return Known(
        name=name, mode="document", resolution=resolution, printed=printed, answer=answer, side=side
    )


def bill(name: str, item: str, price: str) -> Known:
    rows = f"<tr><td>Item</td><td>EUR</td></tr><tr><td>{item}</td><td>{price}</td></tr>"
    answer = piece("table", (55, 80, 940, 500)) + f"\n<table>{rows}</table>"
    printed = f"Item EUR\n\n{item} {price}"
    return Known(name=name, mode="document", resolution="tiny", printed=printed, answer=answer)


def lines(name: str, first: str, second: str) -> Known:
    answer = piece(first, (60, 70, 700, 190)) + "\n" + piece(second, (60, 300, 820, 420))
    printed = f"{first}\n\n{second}"
    return Known(name=name, mode="layout", resolution="small", printed=printed, answer=answer)


def photo(name: str, printed: str, text: str) -> Known:
    return Known(name=name, mode="describe", resolution="tiny", printed=printed, answer=text)


def chart(name: str, printed: str, first: str, second: str) -> Known:
    answer = f"| year | value |\n| --- | --- |\n| 2024 | {first} |\n| 2025 | {second} |"
    return Known(name=name, mode="figure", resolution="tiny", printed=printed, answer=answer)


def total(name: str, printed: str, box: tuple[int, int, int, int]) -> Known:
    answer = piece(TARGET, box)
    return Known(name=name, mode="locate", resolution="tiny", printed=printed, answer=answer)


PAGES = (
    plain("milk", "tiny", "Two litres of milk and a loaf of rye bread."),
    plain("train", "tiny", "The night train leaves at 22:47 from track 9."),
    plain("key", "small", "The spare key hangs behind the cellar door."),
    plain("garden", "tiny", "Water the tomatoes, but never at noon."),
    plain("euro", "tiny", "Paid in cash: 18.50 on 3 March."),
    plain("brackets", "tiny", "Write to <anna@example.org> & ask her."),
    letter("notice", "small", "Notice", "The lift stands still from Monday until Thursday."),
    letter("minutes", "tiny", "Minutes", "Six members were there. The roof will be mended in May."),
    letter("recipe", "base", "Plum cake", "Bake it for forty minutes and let it cool."),
    letter("report", "gundam", "Annual report", "The mill ground 412 tons of wheat.", side=4),
    bill("hammer", "Hammer", "23.90"),
    bill("nails", "Nails, 2 kg", "11.40"),
    bill("paint", "White paint", "37.05"),
    lines("label", "Fragile glass", "This side up"),
    lines("ticket", "Row 14 seat 3", "Doors open at seven"),
    lines("sign", "Beware of the dog", "Ring twice"),
    photo("harbour", "Harbour", "Three fishing boats lie in a harbour; one of them is red."),
    photo("bridge", "Bridge", "A stone bridge crosses a river between bare trees."),
    photo("cat", "Cat", "A grey cat sleeps on a pile of newspapers."),
    chart("rain", "Rain 2024 to 2025", "812", "640"),
    chart("births", "Births 2024 to 2025", "97", "104"),
    total("till", "Total 48.20", (70, 60, 480, 200)),
    total("hotel", "Three nights\n\nTotal 264.00", (66, 300, 455, 440)),
    total("taxi", "Thank you\n\nTotal 17.80", (64, 290, 420, 430)),
)
NAMES = [page.name for page in PAGES]
