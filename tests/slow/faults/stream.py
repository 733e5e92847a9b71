"""What is dropped during a long run, and how; the seed decides."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pymupdf

from tests.slow.faults.droppers import ODD, WHOLE, Dropper, Item
from tests.support.needs import has
from tests.support.samples import scan_of

ONE_NAME = ("over and over", "rewritten")
PAUSES_S = (0.0, 0.02, 0.05)  # far shorter than settling, even on a busy machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Files that one writer drops in one go.

    Attributes:
        folder: The folder to drop into.
        way: A name among `ways`.
        items: The files.
        pause: Seconds between the writer's steps.
    """

    folder: str
    way: str
    items: Sequence[Item]
    pause: float


def ways(uploads: Dropper | None) -> dict[str, Dropper]:
    """The ways to drop files that this machine supports.

    Args:
        uploads: A way through an SMB server, if there is one.
    """
    found = {**WHOLE, **ODD}
    if not has("rsync"):
        del found["rsync"]
    return found if uploads is None else {**found, "smb": uploads}


def batches(rng: random.Random, files: int, folder: str, names: Sequence[str]) -> Iterator[Batch]:
    """Files for a folder, in batches; no two have the same bytes.

    Args:
        rng: Makes every choice.
        files: Number of files, replaced ones included.
        folder: The folder to drop into.
        names: The ways to choose from.
    """
    number = 0
    while number < files:
        way = rng.choice(names)
        size = min(files - number, 1 if way == "killed upload" else rng.randint(1, 4))
        one_kind = way in ONE_NAME or way == "killed upload"
        items = [_item(rng, folder, number + each, one_kind) for each in range(size)]
        yield Batch(folder=folder, way=way, items=items, pause=rng.choice(PAUSES_S))
        number += size


def _item(rng: random.Random, folder: str, number: int, image: bool) -> Item:
    tray = rng.choice(("", "tray 1/", "Büro/扫描/"))
    words = f"{folder} {number} {rng.getrandbits(32):08x}"
    if image or rng.random() < 0.85:
        scan = scan_of(words, width=400, height=160, dpi=72, seed=number)
        return Item(source=f"{tray}scan-{number}.jpg", content=scan.data)
    pages = rng.randint(2, 5)
    return Item(source=f"{tray}book-{number}.pdf", content=_book(words, pages), pages=pages)


def _book(words: str, pages: int) -> bytes:
    with pymupdf.open() as document:
        for number in range(pages):
            page = document.new_page(width=200, height=80)
            page.insert_text((10, 40), f"{words}, page {number + 1}")
        return bytes(document.tobytes())
