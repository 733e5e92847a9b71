"""Pictures of pages for the viewer, drawn by confined children in the same way as for engines."""

from __future__ import annotations

import io
import os
from pathlib import Path

from ocrd.children import ChildPool, Limits
from ocrd.config import Config
from ocrd.errors import SourceChangedError
from ocrd.files import display, open_regular
from ocrd.pages import work
from ocrd.pages.base import Rendering

WIDTH = 1400  # pixels: sharp on a screen, some 200 kB as JPEG
_WALL_S = 30.0


class PageRenderer:
    """Draws pages in child processes, which start with the first page."""

    def __init__(self, config: Config) -> None:
        given = config.settings.pages
        self._pool = ChildPool(
            name="page viewer",
            processes=1,
            limits=Limits(memory_mib=given.memory_mib, cpu_s=int(_WALL_S) + 1, wall_s=_WALL_S),
            threads=1,
        )
        self._wanted = Rendering(dpi=150, max_pixels=given.max_pixels, max_pages=given.max_pages)

    async def jpeg(self, path: Path, number: int, which: tuple[int, int]) -> bytes:
        """Page `number` (1-based) of a document as a JPEG at most `WIDTH` pixels wide.

        `which` is the file's device and inode, found at `path` without following a link.

        Raises:
            OcrdError: The page cannot be drawn.
        """
        return await self._pool.run(draw, path, number, which, self._wanted, readable=(path,))

    def stop(self) -> None:
        """End the child processes."""
        self._pool.stop()


def draw(path: Path, number: int, which: tuple[int, int], wanted: Rendering) -> bytes:
    """Draw a page, in a child; see `PageRenderer.jpeg`.

    The child may read only the file that was at `path` when it was confined: if that is the file
    meant, no link planted since can lead to another.
    """
    from ocrd.tone import pillow

    with open_regular(path) as file:
        facts = os.fstat(file.fileno())
    if (facts.st_dev, facts.st_ino) != which:
        raise SourceChangedError(
            f"{display(path)}: another file lies there now", hint="Reload the page."
        )
    picture = pillow(work.page(path, number, wanted))
    picture.thumbnail((WIDTH, WIDTH * 4))
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=80)
    return held.getvalue()
