"""Reads a page that lies on its side or its head as if it stood, and says where things are on it.

The model is shown the turned page; what it says of places is turned back, so that boxes are on the
page as it came, as with an engine that turns pages itself.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Protocol

from ocrd.engine.base import Engine, PageRequest
from ocrd.engine.osd import Upright
from ocrd.engine.policy import read_page
from ocrd.page import Box, Line, PageImage, PageResult, Word

_PLACES = re.compile(r"(?<=<\|det\|>)[^<\n]*")
_PLACE = re.compile(r"\[\s*(\d{1,5})\s*,\s*(\d{1,5})\s*,\s*(\d{1,5})\s*,\s*(\d{1,5})\s*\]")


BEYOND = 1.01  # models do write 1000 for 999; what is larger is no place

Scale = tuple[int, int]


class Orientation(Protocol):
    """Sees which way up a page is."""

    @property
    def name(self) -> str:
        """Who it is, for the sidecar."""

    async def __call__(self, image: PageImage) -> Upright:
        """The page the right way up, or as it is."""


async def read_upright(
    engine: Engine, request: PageRequest, orientation: Orientation
) -> PageResult:
    """As `read_page`, with the page turned upright first where it is clear that it lies.

    Raises:
        PageError, PageFaultError, EngineDownError: As `read_page`.
    """
    found = await orientation(request.image)
    if found.image is None:
        return await read_page(engine, request)
    result = await read_page(engine, replace(request, image=found.image))
    note = f"turned {found.degrees} degrees clockwise, as {orientation.name} found"
    return as_it_came(result, found.degrees).noted(f"{note} (confidence {found.confidence:.1f})")


def as_it_came(result: PageResult, degrees: int) -> PageResult:
    """The result of a page that was turned by so many degrees clockwise, on the page before."""
    lies = degrees % 180 != 0
    return replace(
        result,
        text=_PLACES.sub(
            lambda places: _turned_back(places[0], degrees, result.scale), result.text
        ),
        scale=result.scale[::-1] if lies else result.scale,
        lines=tuple(_line(line, -degrees) for line in result.lines),
        turned=(result.turned + degrees) % 360,
    )


def _turned_back(places: str, degrees: int, scale: Scale) -> str:
    return _PLACE.sub(lambda place: _place(place, degrees, scale), places)


def _place(place: re.Match[str], degrees: int, scale: Scale) -> str:
    """Four numbers of a scale, on the page before it was turned, whose sides may be swapped."""
    said = [int(number) / end for number, end in zip(place.groups(), scale * 2, strict=True)]
    if max(said) > BEYOND:
        return place[0]
    x1, y1, x2, y2 = (min(value, 1.0) for value in said)
    box = Box(x1, y1, x2, y2).turned(-degrees)
    across, down = scale if degrees % 180 == 0 else scale[::-1]
    numbers = (across * box.x1, down * box.y1, across * box.x2, down * box.y2)
    return f"[{', '.join(str(round(number)) for number in numbers)}]"


def _line(line: Line, degrees: int) -> Line:
    words = tuple(Word(word.text, word.box.turned(degrees)) for word in line.words)
    return Line(line.text, line.box.turned(degrees), words)
