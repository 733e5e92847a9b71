"""The finished pages of a running job, one line each; a torn line counts as missing.

A line has the length and the CRC-32 of the rest, eight hex digits each; then the facts about the
page as JSON and, after a tab, its result, also as JSON.  The first line names the recipe and the
content that the pages were made from.  A line of an older version is just one JSON object.
"""

from __future__ import annotations

import io
import json
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ocrd.files import Disk
from ocrd.job import JobError, Page, PageState
from ocrd.oserrors import blaming

_HEADER = 18
_RECIPE = "recipe"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A finished page.

    Attributes:
        page: Its record.
        result: Its `PageResult` as JSON; None if nothing was read.
        came_from: Which page of which file it is, if that is not obvious.
        pile_page: Its number in the pile, if it has been renumbered.
    """

    page: Page
    result: str | None
    came_from: Mapping[str, Any] | None = None
    pile_page: int | None = None

    def line(self) -> bytes:
        """The entry as a line of the log."""
        told = asdict(self.page) | {"came_from": self.came_from, "pile_page": self.pile_page}
        return _line(told, self.result)


class PageLog:
    """One job's `pages.jsonl`.  Only its worker writes it; its threads take turns.

    Args:
        path: The file.
        disk: The system calls.
        guard: A context, made from the path, in which the file is written.
    """

    def __init__(
        self,
        path: Path,
        disk: Disk,
        guard: Callable[[Path], AbstractContextManager[None]] = blaming,
    ) -> None:
        self.path = path
        self._disk = disk
        self._guard = guard
        self._turn = threading.Lock()
        self._end: int | None = None  # byte after the last intact line, once known
        self._head = b""  # a first line, to be written together with the first page

    def begin(self, recipe: str, content: str) -> None:
        """Keep the pages if this recipe made them from this content (a digest), or begin anew."""
        if self.recipe_of(content) != recipe:
            self._end = 0
            self._head = _line({_RECIPE: recipe, "content": content}, None)

    def recipe_of(self, content: str) -> str | None:
        """The recipe that the pages were made with; None if there are none of this content."""
        with self._opened() as file:
            head = _read(file.readline())[0] or {}
        return head[_RECIPE] if head.get("content") == content else None

    def append(self, entry: Entry) -> None:
        """Add a page, which is on the disk on return."""
        with self._turn, self._guard(self.path):
            if self._end is None:
                with self._opened() as file:
                    self._end = max((end for _, _, end in _lines(file)), default=0)
            line = self._head + entry.line()
            self._disk.append(self.path, line, self._end)
            if self._head:
                self._disk.fsync_dir(self.path.parent)
            self._head = b""
            self._end += len(line)

    def entries(self) -> Iterator[Entry]:
        """The pages by number, one in memory at a time, up to a line that a crash has torn.

        Raises:
            ValueError, KeyError, TypeError: An intact line is not a page.
        """
        with self._opened() as file:
            found = _lines(file)
            places = {told["number"]: place for place, told, _ in found if _RECIPE not in told}
            for number in sorted(places):
                file.seek(places[number])
                told, result = _read(file.readline())
                if told is None:
                    raise ValueError("a line changed while the pages were read")
                came_from, pile_page = told.pop("came_from", None), told.pop("pile_page", None)
                state, why = PageState(told.pop("state")), told.pop("error")
                page = Page(**told, state=state, error=why and JobError(**why))
                yield Entry(page=page, result=result, came_from=came_from, pile_page=pile_page)

    def count(self) -> int:
        """The number of intact lines that hold a page."""
        with self._opened() as file:
            return sum(_RECIPE not in told for _, told, _ in _lines(file))

    def _opened(self) -> BinaryIO:
        """The file for reading; empty if missing, or if `begin` began anew and no page followed."""
        with blaming(self.path), suppress(FileNotFoundError, NotADirectoryError):
            if not self._head:
                return self._disk.open(self.path)
        return io.BytesIO()


def _lines(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any], int]]:
    """Of each line up to a torn one: where it begins, its facts, where it ends."""
    end = 0
    while (told := _read(file.readline())[0]) is not None:
        place, end = end, file.tell()
        yield place, told, end


def _line(told: Mapping[str, Any], result: str | None) -> bytes:
    content = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    whole = _whole(content if result is None else f"{content}\t{result}").encode()
    return b"%08x %08x %s\n" % (len(whole), zlib.crc32(whole), whole)


def _read(line: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """The facts and the result on a line; no facts (None) if it is torn."""
    if line.startswith(b"{"):
        return _read_old(line)
    header, content = line[:_HEADER], line[_HEADER:-1]
    if header != b"%08x %08x " % (len(content), zlib.crc32(content)) or line[-1:] != b"\n":
        return None, None
    told, tab, result = content.partition(b"\t")
    return json.loads(told), result.decode() if tab else None


def _read_old(line: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """As `_read`, for a line that an older version wrote."""
    if not line.endswith(b"\n"):
        return None, None
    told = json.loads(_whole(json.dumps(json.loads(line), ensure_ascii=False)))
    result = told.pop("result", None)
    return told, None if result is None else json.dumps(result, ensure_ascii=False)


def _whole(text: str) -> str:
    """Replace halves of surrogate pairs, which no UTF-8 file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
