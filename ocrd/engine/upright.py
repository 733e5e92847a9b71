"""Reads a page that lies on its side or its head as if it stood, and says where things are on it.

The model is shown the turned page; what it says of places is turned back, so that boxes are on the
page as it came, as with an engine that turns pages itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from ocrd.engine.base import Engine, PageRequest
from ocrd.engine.osd import Upright
from ocrd.engine.policy import read_page
from ocrd.page import PageImage, PageResult


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
    return replace(
        result,
        blocks=tuple(block.turned(-degrees) for block in result.blocks),
        lines=tuple(line.turned(-degrees) for line in result.lines),
        turned=(result.turned + degrees) % 360,
    )
