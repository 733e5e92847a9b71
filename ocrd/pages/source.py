"""Makes page images in child processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ocrd.children import ChildPool
from ocrd.errors import BadFileError, OcrdError, PageError, PageFaultError
from ocrd.page import PageImage
from ocrd.pages import work
from ocrd.pages.base import DocumentInfo, Rendering
from ocrd.pages.reading import OwnText

T = TypeVar("T")


class ChildPageSource:
    """Turns files into page images in a pool of children, each page independently.

    A file or page that breaks a child, or exceeds its time or memory, is tried once more in a fresh
    one; if that breaks too, the file or page is at fault.

    Args:
        pool: Its children must be able to read the files.
        wanted: How images are to be made.
        page_wall_s: Seconds that one page, or inspecting a file, may take.
    """

    def __init__(self, pool: ChildPool, wanted: Rendering, *, page_wall_s: float) -> None:
        self._pool = pool
        self._wanted = wanted
        self._wall_s = page_wall_s

    async def inspect(self, path: Path) -> DocumentInfo:
        """What the file is and how many pages it has.

        Raises:
            BadFileError: No page of it can ever be read (`empty`, `unsupported`, `encrypted`,
                `damaged`, `no-pages`, `too-large`, `crashed`, `timed-out` …).
            SourceChangedError: It is gone.
            PlaceError: It cannot be read now.
        """
        try:
            return await self._twice(work.inspect, path, self._wanted)
        except PageFaultError as fault:
            raise _verdict(BadFileError, "The file", fault) from fault

    async def page(self, path: Path, number: int, *, codes: bool = False) -> PageImage:
        """The image of page `number`, 1-based, with what its barcodes say if `codes`.

        Raises:
            PageError: This page cannot be read; others may be readable.
            BadFileError, SourceChangedError, PlaceError: As `inspect`.
        """
        wanted = replace(self._wanted, codes=True) if codes else self._wanted
        try:
            return _sound(await self._twice(work.page, path, number, wanted))
        except PageFaultError as fault:
            raise _verdict(PageError, f"Page {number}", fault) from fault

    async def own_text(self, path: Path, number: int) -> OwnText | None:
        """The own text of page `number` of a PDF; None if it has none or the child fails.

        Raises:
            BadFileError, SourceChangedError, PlaceError: As `inspect`.
        """
        try:
            return await self._pool.run(
                work.own_text, path, number, wall_s=self._wall_s, readable=[path]
            )
        except PageFaultError:
            return None

    async def _twice(self, call: Callable[..., T], path: Path, *args: object) -> T:
        try:
            return await self._pool.run(call, path, *args, wall_s=self._wall_s, readable=[path])
        except PageFaultError:
            return await self._pool.run(call, path, *args, wall_s=self._wall_s, readable=[path])


def _sound(image: PageImage) -> PageImage:
    """The image, if its bytes match its size: a file may have taken over the child."""
    if len(image.rgb) != image.width * image.height * 3:
        hint = "A damaged or hostile file can do this; look at it elsewhere."
        raise PageFaultError("A page image is not as large as it says.", hint=hint, kind="crashed")
    return image


def _verdict(blamed: type[OcrdError], subject: str, fault: PageFaultError) -> OcrdError:
    """The error that blames the file or the page for a fault that came twice."""
    if fault.kind == "out-of-memory":
        return blamed(
            f"{subject} needs more memory than a page worker may use.",
            hint="Raise memory_mib of the pages in the configuration, or scan at fewer dpi.",
            kind="too-large",
        )
    if fault.kind == "timed-out":
        return blamed(
            f"{subject} takes too long: {fault.message}",
            hint="Raise timeout_s of the pages in the configuration, or save the file anew.",
            kind="timed-out",
        )
    return blamed(
        f"{subject} breaks what reads it, again and again: {fault.message}",
        hint="Open it elsewhere and print it to a new PDF, or scan it again.",
        kind=fault.kind,
    )
